//! A small HTTP server whose answers are written by the test, byte by byte where that matters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, and the connection stays.
    Bytes(Vec<u8>),
    /// Nothing: the connection is closed.
    Close,
    /// Nothing at all.
    Silence,
    /// A good head, and a body that never ends.
    Endless,
}

/// An answer with a body.
pub(crate) fn plain(status: u16, body: &str) -> Reply {
    with(status, &[("content-type", "text/plain")], body)
}

/// An answer with JSON.
pub(crate) fn answer(status: u16, body: &Value) -> Reply {
    with(status, &[("content-type", "application/json")], &body.to_string())
}

pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    Reply::Bytes(format!("{text}\r\n{body}").into_bytes())
}

pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, handler) = (Arc::clone(&asked), Arc::new(handler));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                tokio::spawn(async move {
                    let _ = serve(stream, &seen, &*handler).await;
                });
            }
        });
        Self { url, asked }
    }

    /// What was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    handler: &(dyn Fn(&Request) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    loop {
        let Some(request) = read(&mut stream).await? else { return Ok(()) };
        let reply = handler(&request);
        seen.lock().expect("not poisoned").push(request);
        match reply {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
            Reply::Close => return Ok(()),
            Reply::Silence => std::future::pending().await,
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 X\r\ncontent-type: text/plain\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 8_192]).await?;
                }
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let mut piece = [0; 4_096];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece[..read]);
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = bytes[head + 4..].to_vec();
    while body.len() < length {
        let mut piece = [0; 4_096];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&piece[..read]);
    }
    let (method, path) = (method.to_owned(), path.to_owned());
    Ok(Some(Request { method, path, headers, body }))
}
