//! A server that takes inserts as ClickHouse does, and fails when told to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Take,
    /// Takes it, and the connection breaks before anybody is told.
    TakeAndBreakOff,
    /// As a proxy says whose server is away.
    Away,
}

/// A request that came in whole.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) query: String,
    pub(crate) token: Option<String>,
    pub(crate) user: String,
    pub(crate) key: String,
}

#[derive(Debug)]
struct State {
    next: Option<Answer>,
    then: Answer,
    refused: Option<String>,
    heard: Vec<Heard>,
    /// By table and token: the numbers of its rows.
    tables: BTreeMap<String, BTreeMap<String, Vec<i64>>>,
    doubled: usize,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(Some)
    }

    /// One that speaks TLS.
    pub(crate) fn start_tls(config: Arc<ServerConfig>) -> Self {
        Self::start_with(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(StreamOwned::new(connection, stream))
        })
    }

    fn start_with<S: Read + Write>(
        wrap: impl Fn(TcpStream) -> Option<S> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State {
            next: None,
            then: Answer::Take,
            refused: None,
            heard: Vec::new(),
            tables: BTreeMap::new(),
            doubled: 0,
        }));
        let theirs = Arc::clone(&state);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, wrap) = (Arc::clone(&theirs), wrap.clone());
                std::thread::spawn(move || {
                    if let Some(stream) = wrap(stream) {
                        serve(stream, &state);
                    }
                });
            }
        });
        Self { port, state }
    }

    /// The next insert is answered so.
    pub(crate) fn answer_next(&self, answer: Answer) {
        self.state.lock().expect("no panic").next = Some(answer);
    }

    /// All others are.
    pub(crate) fn answer_from_then_on(&self, answer: Answer) {
        self.state.lock().expect("no panic").then = answer;
    }

    pub(crate) fn refuse_table(&self, table: Option<&str>) {
        self.state.lock().expect("no panic").refused = table.map(str::to_owned);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.state.lock().expect("no panic").heard.clone()
    }

    /// How many inserts came again.
    pub(crate) fn doubled(&self) -> usize {
        self.state.lock().expect("no panic").doubled
    }

    /// The numbers of all rows of a table, in order.
    pub(crate) fn rows(&self, table: &str) -> Vec<i64> {
        let state = self.state.lock().expect("no panic");
        let inserts = state.tables.get(table).into_iter().flat_map(BTreeMap::values);
        let mut rows: Vec<i64> = inserts.flatten().copied().collect();
        rows.sort_unstable();
        rows
    }
}

fn serve(stream: impl Read + Write, state: &Mutex<State>) {
    let mut requests = BufReader::new(stream);
    while let Some((request, body)) = read(&mut requests) {
        let answer = take(request, body, &mut state.lock().expect("no panic"));
        let Some(answer) = answer else { return };
        let answers = requests.get_mut();
        if answers.write_all(answer.as_bytes()).and_then(|()| answers.flush()).is_err() {
            return;
        }
    }
}

fn read(stream: &mut BufReader<impl Read>) -> Option<(Heard, Bytes)> {
    let mut line = String::new();
    // A client that does not trust the server breaks off in the handshake.
    if stream.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let path = line.split(' ').nth(1).expect("a path").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().expect("a length")];
    stream.read_exact(&mut body).ok()?;
    let (_, query) = path.split_once('?').expect("a query");
    let mut parameters: BTreeMap<String, String> = query
        .split('&')
        .map(|pair| pair.split_once('=').expect("a value"))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    assert_eq!(parameters["database"], "holm");
    let heard = Heard {
        query: parameters.remove("query").expect("a query"),
        token: parameters.remove("insert_deduplication_token"),
        user: headers.remove("x-clickhouse-user").unwrap_or_default(),
        key: headers.remove("x-clickhouse-key").unwrap_or_default(),
    };
    Some((heard, body.into()))
}

fn take(heard: Heard, body: Bytes, state: &mut State) -> Option<String> {
    let Some(token) = heard.token.clone() else {
        let answer = if state.then == Answer::Away { away() } else { answer(200, "", "") };
        state.heard.push(heard);
        return Some(answer);
    };
    let how = state.next.take().unwrap_or(state.then);
    if how == Answer::Away {
        return Some(away());
    }
    let table = heard.query.split('`').nth(1).expect("a table").to_owned();
    if state.refused.as_deref() == Some(&table) {
        let code = "X-ClickHouse-Exception-Code: 60\r\n";
        return Some(answer(404, code, "Code: 60. DB::Exception: no table for you"));
    }
    let inserts = state.tables.entry(table).or_default();
    match inserts.entry(token) {
        Entry::Occupied(_) => state.doubled += 1,
        Entry::Vacant(place) => {
            place.insert(numbers_of(body));
        }
    }
    state.heard.push(heard);
    (how == Answer::Take).then(|| answer(200, "", ""))
}

fn numbers_of(parquet: Bytes) -> Vec<i64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(parquet).expect("Parquet");
    let batches = reader.build().expect("a reader").map(|batch| batch.expect("a batch"));
    let numbers = batches.flat_map(|batch| {
        let column = batch.column_by_name("n").expect("a column");
        column.as_primitive::<Int64Type>().values().to_vec()
    });
    numbers.collect()
}

fn away() -> String {
    answer(502, "", "nobody is behind this proxy")
}

fn answer(status: u16, header: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{header}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next().expect("a digit")).to_digit(16);
                let (high, low) = (digit().expect("hex"), digit().expect("hex"));
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).expect("UTF-8")
}
