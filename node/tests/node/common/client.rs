//! HTTPS without a runtime: one request a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use holm_certs::files::IdentityDir;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use super::Place;

const LIMIT: Duration = Duration::from_secs(20);

/// Asks one node, with a bearer token if it has one.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

/// What a node answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Client {
    /// A client with the node's own admin token.
    pub(crate) fn of(place: &Place) -> Self {
        let token = std::fs::read_to_string(place.file("credentials/admin.token"));
        let token = token.expect("the node's admin token");
        Self::without_token(place).with_token(token.trim())
    }

    pub(crate) fn without_token(place: &Place) -> Self {
        let bundles = IdentityDir::at(&place.file("identity")).load_bundles().expect("bundles");
        let bundle = bundles.iter().next().expect("a bundle");
        let mut tls = holm_certs::trusted_client_config(bundle).expect("a client");
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { address: place.api, tls: Arc::new(tls), token: None }
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).expect("an answer")
    }

    pub(crate) fn try_get(&self, path: &str) -> io::Result<Answer> {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn try_post(&self, path: &str, body: &Value) -> io::Result<Answer> {
        self.ask("POST", path, &[], &body.to_string())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).expect("an answer")
    }

    /// One request with these headers; an error if the whole answer did not come.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        self.ask_bytes(method, path, headers, body.as_bytes())
    }

    /// The same with a body of any bytes; JSON unless the headers say otherwise.
    pub(crate) fn ask_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let name = ServerName::from(self.address.ip());
        let tls = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let stream = TcpStream::connect_timeout(&self.address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut stream = StreamOwned::new(tls, stream);
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.address,
            body.len()
        );
        if !body.is_empty() && headers.iter().all(|(name, _)| *name != "content-type") {
            request += "content-type: application/json\r\n";
        }
        if let Some(token) = &self.token {
            request += &format!("authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        stream.write_all(&[request.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            // Without the closing message; whether all of it came is checked by its length.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
        Answer::parse(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: body.to_owned() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunked(body)?;
            return Some(answer);
        }
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        (length.is_none() || length == Some(body.len())).then_some(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The error's code and message, in the one shape.
    #[track_caller]
    pub(crate) fn error(&self) -> (String, String) {
        let body = self.json();
        let text = |key: &str| body["error"][key].as_str().expect("the error shape").to_owned();
        assert_eq!(Some(text("request_id").as_str()), self.header("x-request-id"));
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
        (text("code"), text("message"))
    }
}

/// The body without its chunks' lengths (RFC 9112 §7.1); `None` unless the last chunk came.
fn unchunked(mut text: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, rest) = text.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body += rest.get(..length)?;
        text = rest.get(length..)?.strip_prefix("\r\n")?;
    }
}
