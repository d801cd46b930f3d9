//! Messages of the DevTools protocol over the browser's pipe: JSON, each ended by a NUL byte.
//!
//! The browser runs code of strangers: what it sends is bounded, and what is no message ends the run.

use std::io;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest message, in bytes.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// One message of the browser: the answer to a call has an `id`, an event has a `method`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: Option<u64>,
    pub(crate) method: Option<String>,
    #[serde(default)]
    pub(crate) params: Value,
    #[serde(default)]
    pub(crate) result: Value,
    pub(crate) error: Option<CallError>,
    #[serde(rename = "sessionId")]
    pub(crate) session: Option<String>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct CallError {
    #[serde(default)]
    pub(crate) message: String,
}

/// Takes messages out of a stream of bytes. A read that is given up loses nothing.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
    /// How far it was looked for an end.
    looked: usize,
    most: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, buffer: Vec::new(), looked: 0, most: MAX_MESSAGE }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(at) = self.buffer[self.looked..].iter().position(|b| *b == 0) {
                let end = self.looked + at;
                let message = serde_json::from_slice(&self.buffer[..end]);
                self.buffer.drain(..=end);
                self.looked = 0;
                return message.map_err(|error| {
                    io::Error::other(format!("the browser sent what is no message: {error}"))
                });
            }
            self.looked = self.buffer.len();
            if self.looked > self.most {
                let text = format!("the browser sent a message of more than {} bytes", self.most);
                return Err(io::Error::other(text));
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], most: usize) -> (Vec<Message>, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("built");
        runtime.block_on(async {
            let mut reader = Reader::new(bytes);
            reader.most = most;
            let mut found = Vec::new();
            loop {
                match reader.next().await {
                    Ok(message) => found.push(message),
                    Err(error) => return (found, error.to_string()),
                }
            }
        })
    }

    #[test]
    fn answers_and_events_are_told_apart() {
        let bytes = b"{\"id\":7,\"result\":{\"a\":1}}\0{\"method\":\"Page.loadEventFired\",\"sessionId\":\"S\"}\0{\"id\":8,\"error\":{\"code\":-1,\"message\":\"no\"}}\0";
        let (found, _) = all(bytes, MAX_MESSAGE);
        assert_eq!((found[0].id, &found[0].result["a"]), (Some(7), &Value::from(1)));
        assert_eq!(found[1].method.as_deref(), Some("Page.loadEventFired"));
        assert_eq!(found[1].session.as_deref(), Some("S"));
        assert_eq!(found[2].error, Some(CallError { message: "no".into() }));
    }

    #[test]
    fn a_message_without_an_end_is_given_up() {
        let (found, why) = all(&[b'x'; 100_000], 1_000);
        assert!(found.is_empty() && why.contains("more than 1000 bytes"), "{why}");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let (_, why) = all(&bytes, 500);
            prop_assert!(!why.is_empty());
        }

        #[test]
        fn a_message_that_is_changed_anywhere_breaks_nothing(at in 0..60_usize, by in any::<u8>()) {
            let mut bytes = b"{\"id\":7,\"result\":{\"frameId\":\"F\",\"loaderId\":\"L\",\"x\":[1,2]}}\0".to_vec();
            let place = at % bytes.len();
            bytes[place] = by;
            let (found, _) = all(&bytes, MAX_MESSAGE);
            prop_assert!(found.len() <= 2);
        }
    }
}
