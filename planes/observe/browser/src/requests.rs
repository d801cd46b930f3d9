//! The requests of a page, from the events of the protocol's domain `Network`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::report::Request;

/// Most requests that are kept.
const MAX_REQUESTS: usize = 500;
const MAX_URL: usize = 300;
const MAX_WORD: usize = 60;

/// The requests so far.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) items: Vec<Request>,
    /// The hosts of the items, for reasons why they were blocked.
    pub(crate) hosts: Vec<String>,
    by_id: HashMap<String, usize>,
    base: Option<f64>,
    pub(crate) left_out: u64,
    pub(crate) bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    request_id: String,
    request: Asked,
    timestamp: f64,
    #[serde(default, rename = "type")]
    kind: String,
    redirect_response: Option<Answer>,
}

#[derive(Deserialize)]
struct Asked {
    url: String,
    method: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    request_id: String,
    timestamp: f64,
    response: Answer,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: u16,
    protocol: Option<String>,
    #[serde(default)]
    from_disk_cache: bool,
    encoded_data_length: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    request_id: String,
    timestamp: f64,
    encoded_data_length: Option<f64>,
    error_text: Option<String>,
    blocked_reason: Option<String>,
}

impl Requests {
    /// Takes an event. What is not understood is passed over.
    pub(crate) fn take(&mut self, session: &str, method: &str, params: &Value) {
        let _ = match method {
            "Network.requestWillBeSent" => read(params).map(|event| self.sent(session, event)),
            "Network.responseReceived" => read(params).map(|event| self.received(session, event)),
            "Network.loadingFinished" | "Network.loadingFailed" => {
                read(params).map(|event| self.ended(session, event))
            }
            "Network.requestServedFromCache" => params["requestId"].as_str().map(|id| {
                if let Some(item) = self.item(session, id) {
                    item.from_cache = true;
                }
            }),
            _ => None,
        };
    }

    fn item(&mut self, session: &str, id: &str) -> Option<&mut Request> {
        let at = *self.by_id.get(&format!("{session} {id}"))?;
        self.items.get_mut(at)
    }

    fn after_start(&self, timestamp: f64) -> f64 {
        ((timestamp - self.base.unwrap_or(timestamp)) * 1_000.0).max(0.0)
    }

    fn sent(&mut self, session: &str, event: Sent) {
        self.base.get_or_insert(event.timestamp);
        let start_ms = self.after_start(event.timestamp);
        // A redirect is a request of its own under the same id.
        if let Some(answer) = event.redirect_response
            && let Some(item) = self.item(session, &event.request_id)
        {
            item.wait_ms = Some((start_ms - item.start_ms).max(0.0));
            item.receive_ms = Some(0.0);
            let bytes = whole(answer.encoded_data_length);
            answered(item, answer);
            item.bytes = bytes;
            self.bytes = self.bytes.saturating_add(bytes.unwrap_or(0));
        }
        let key = format!("{session} {}", event.request_id);
        if self.items.len() >= MAX_REQUESTS {
            self.left_out += 1;
            self.by_id.remove(&key);
            return;
        }
        self.by_id.insert(key, self.items.len());
        self.hosts.push(host(&event.request.url));
        self.items.push(Request {
            url: cut(&event.request.url),
            method: short(&event.request.method),
            kind: short(&event.kind),
            start_ms,
            ..Request::default()
        });
    }

    fn received(&mut self, session: &str, event: Received) {
        let at = self.after_start(event.timestamp);
        if let Some(item) = self.item(session, &event.request_id) {
            item.wait_ms = Some((at - item.start_ms).max(0.0));
            if !event.kind.is_empty() {
                item.kind = short(&event.kind);
            }
            answered(item, event.response);
        }
    }

    fn ended(&mut self, session: &str, event: Ended) {
        let at = self.after_start(event.timestamp);
        let bytes = whole(event.encoded_data_length);
        self.bytes = self.bytes.saturating_add(bytes.unwrap_or(0));
        if let Some(item) = self.item(session, &event.request_id) {
            let so_far = item.start_ms + item.wait_ms.unwrap_or(0.0);
            item.receive_ms = item.wait_ms.map(|_| (at - so_far).max(0.0));
            item.bytes = bytes;
            item.failed = event.error_text.as_deref().map(short);
            item.blocked = event.blocked_reason.as_deref().map(short);
        }
    }
}

fn read<'a, T: Deserialize<'a>>(params: &'a Value) -> Option<T> {
    T::deserialize(params).ok()
}

fn answered(item: &mut Request, answer: Answer) {
    item.status = Some(answer.status).filter(|status| *status > 0);
    item.protocol = answer.protocol.as_deref().filter(|text| !text.is_empty()).map(short);
    item.from_cache |= answer.from_disk_cache;
}

fn whole(number: Option<f64>) -> Option<u64> {
    // Negative and not-a-number become 0.
    number.map(|number| number as u64)
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_WORD).collect()
}

/// The host of an address, as it is asked of the proxy.
pub(crate) fn host(url: &str) -> String {
    let parsed = url.parse::<http::Uri>().ok();
    parsed.as_ref().and_then(http::Uri::host).unwrap_or_default().to_ascii_lowercase()
}

/// An address without what may be a secret: credentials, query and fragment.
pub(crate) fn cut(url: &str) -> String {
    let clean = |text: &str, most| -> String {
        text.chars().filter(|c| !c.is_control()).take(most).collect()
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        // data: and blob: hold what they are.
        return clean(url.split_once([',', ';']).map_or(url, |(kind, _)| kind), MAX_WORD);
    };
    let (place, has_more) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], true),
        None => (rest, false),
    };
    let (authority, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let more = if has_more { "?…" } else { "" };
    format!("{}{more}", clean(&format!("{scheme}://{authority}{path}"), MAX_URL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn secrets_of_an_address_are_cut() {
        for (url, shown) in [
            ("https://a.example/x/y", "https://a.example/x/y"),
            ("https://u:p@a.example/x?token=1#t", "https://a.example/x?…"),
            ("https://a.example#token", "https://a.example?…"),
            ("https://a.example/x@y?z", "https://a.example/x@y?…"),
            ("data:text/plain;base64,AAAA", "data:text/plain"),
        ] {
            assert_eq!(cut(url), shown);
        }
    }

    #[test]
    fn a_redirect_is_a_request_of_its_own_and_more_than_the_bound_are_counted() {
        let mut all = Requests::default();
        let sent = |id: &str, at: f64, more: Value| {
            let mut event = json!({"requestId": id, "timestamp": at, "type": "Document",
                "request": {"url": format!("http://a.example/{at}"), "method": "GET"}});
            if !more.is_null() {
                event["redirectResponse"] = more;
            }
            event
        };
        all.take("s", "Network.requestWillBeSent", &sent("1", 10.0, Value::Null));
        let redirect = json!({"status": 302, "encodedDataLength": 120.0, "protocol": "http/1.1"});
        all.take("s", "Network.requestWillBeSent", &sent("1", 10.5, redirect));
        all.take(
            "s",
            "Network.responseReceived",
            &json!({"requestId": "1", "timestamp": 10.6, "type": "Document",
                "response": {"status": 200, "protocol": "h2", "fromDiskCache": false}}),
        );
        let end = json!({"requestId": "1", "timestamp": 10.9, "encodedDataLength": 1000.0});
        all.take("other", "Network.loadingFinished", &end);
        assert_eq!(all.items[1].bytes, None, "of another session");
        all.take("s", "Network.loadingFinished", &end);
        let [first, second] = &all.items[..] else { panic!("two") };
        assert_eq!((first.status, first.wait_ms, first.bytes), (Some(302), Some(500.0), Some(120)));
        assert_eq!((second.status, second.start_ms, second.bytes), (Some(200), 500.0, Some(1_000)));
        assert!(second.receive_ms.is_some_and(|ms| (ms - 300.0).abs() < 0.1));
        for n in 0..600 {
            all.take("s", "Network.requestWillBeSent", &sent(&format!("x{n}"), 11.0, Value::Null));
        }
        assert_eq!((all.items.len(), all.left_out), (500, 102));
    }

    proptest! {
        #[test]
        fn no_event_breaks_it(id in ".{0,5}", at in any::<f64>(), url in ".{0,40}", length in any::<f64>(), status in any::<i64>()) {
            let mut all = Requests::default();
            let sent = json!({"requestId": id, "timestamp": at, "request": {"url": url, "method": "GET"}});
            all.take("s", "Network.requestWillBeSent", &sent);
            all.take("s", "Network.responseReceived", &json!({"requestId": id, "timestamp": at, "response": {"status": status}}));
            all.take("s", "Network.loadingFinished", &json!({"requestId": id, "timestamp": at, "encodedDataLength": length}));
            prop_assert!(all.items.len() <= 1);
            let shown = cut(&format!("https://a.example/{url}"));
            prop_assert!(!shown.contains('#'), "{}", shown);
        }
    }
}
