//! A node's rows go to ClickHouse as well, and the node says how far that is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::common::{Lab, Place, eventually};
use crate::flows::{addresses, start};

/// What takes all and remembers the paths that were asked for.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let theirs = Arc::clone(&asked);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let asked = Arc::clone(&theirs);
                std::thread::spawn(move || serve(stream, &asked));
            }
        });
        Self { port, asked }
    }

    fn heard(&self, part: &str) -> bool {
        self.asked.lock().expect("no panic").iter().any(|path| path.contains(part))
    }
}

fn serve(stream: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut answers = stream.try_clone().ok()?;
    let mut requests = BufReader::new(stream);
    loop {
        let mut line = String::new();
        requests.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            requests.read_line(&mut header).ok()?;
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body).ok()?;
        asked.lock().expect("no panic").push(line);
        answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

fn configure(place: &Place, url: &str) {
    let path = place.file("holm.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let (text, _) = text.split_once("\n[rows.clickhouse]").unwrap_or((&text, ""));
    let section =
        format!("\n[rows.clickhouse]\nurl = \"{url}\"\ntables = [\"signals\", \"flow_c*\"]\n");
    std::fs::write(path, text.to_owned() + &section).expect("written");
}

#[test]
fn rows_go_to_clickhouse_and_the_node_says_how_far_it_is() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let server = Server::start();
    configure(&place, &format!("http://127.0.0.1:{}", server.port));
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    assert_eq!(node.get("/v1/events")["clickhouse"]["sent_rows"], 0);
    eventually("there are rows", || {
        let tables = node.get("/v1/query/tables");
        let tables = tables["tables"].as_array()?.iter();
        let mut rows = tables.filter(|table| table["name"] == "flow_collectors");
        (rows.next()?["rows"].as_u64()? > 0).then_some(())
    });
    // Rows become files after ten minutes, or at the start from the log.
    drop(node.kill());
    let node = start(&place, listen, &[]);
    let sent = eventually("rows are sent", || {
        let events = node.get("/v1/events");
        (events["clickhouse"]["sent_rows"].as_u64()? > 0).then_some(events)
    });
    assert!(server.heard("INSERT+INTO+%60flow_collectors%60"));
    assert!(server.heard("insert_deduplication_token=default%2Fberlin%2Fn1%2Fflow_collectors"));
    assert!(!server.heard("flow_detectors"));
    assert!(sent["problem"].is_null() && sent["clickhouse"]["error"].is_null(), "{sent}");
    let printed = place.holm(&["events", "status"]).succeeded();
    assert!(printed.contains("ClickHouse at http://127.0.0.1"), "{printed}");
    let metrics = place.client().get("/metrics").body;
    assert!(metrics.contains("holm_rows_clickhouse_up{tenant=\"default\"} 1"), "{metrics}");
    drop(node.kill());

    // Rows in the clear: the node says so and does not start.
    configure(&place, "http://192.0.2.1:8123");
    place.holm(&["up"]).failed_naming(&["rows.clickhouse", "https://"]);
}
