//! One page, driven over the DevTools protocol.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::report::Vitals;
use crate::requests::{Requests, cut, host};
use crate::wire::{Message, Reader};

/// Most errors of the page that are kept.
const MAX_CONSOLE: usize = 50;
const MAX_TEXT: usize = 300;
/// Most frames and workers of other processes that are looked into.
const MAX_SESSIONS: usize = 50;
/// Largest picture, in bytes.
pub(crate) const MAX_SCREENSHOT: usize = 200 << 10;
/// How often the page is looked at again.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);
/// The name of the world of scripts that the page cannot see into.
const WORLD: &str = "holm";
/// Runs in the page's own world: without it packets of WebRTC cannot be asked for.
const NO_RTC: &str = "for (const n of ['RTCPeerConnection', 'webkitRTCPeerConnection', 'RTCIceGatherer', 'WebTransport']) { try { Object.defineProperty(globalThis, n, {value: undefined, configurable: false, writable: false}); } catch (e) {} }";

/// A page and what is known of it.
pub(crate) struct Page {
    reader: Reader<UnixStream>,
    to: UnixStream,
    out: Vec<u8>,
    last_id: u64,
    session: String,
    frame: String,
    credential: (String, String),
    pub(crate) requests: Requests,
    pub(crate) console: Vec<String>,
    pub(crate) console_left_out: u64,
    sessions: usize,
    loads: u64,
    /// The status of the last document of the main frame, and the host that it was asked of.
    pub(crate) status: Option<u16>,
    pub(crate) host: String,
    /// The browser is gone, or says what is no message.
    pub(crate) gone: Option<String>,
}

impl Page {
    pub(crate) fn new(calls: UnixStream, events: UnixStream, credential: (&str, &str)) -> Self {
        Self {
            reader: Reader::new(events),
            to: calls,
            out: Vec::new(),
            last_id: 0,
            session: String::new(),
            frame: String::new(),
            credential: (credential.0.into(), credential.1.into()),
            requests: Requests::default(),
            console: Vec::new(),
            console_left_out: 0,
            sessions: 0,
            loads: 0,
            status: None,
            host: String::new(),
            gone: None,
        }
    }

    /// Opens an empty page, and has told what happens in it.
    pub(crate) async fn begin(&mut self) -> Result<(), String> {
        let deny = json!({"behavior": "deny"});
        self.call("", "Browser.setDownloadBehavior", deny).await?;
        let made = self.call("", "Target.createTarget", json!({"url": "about:blank"})).await?;
        let attach = json!({"targetId": made["targetId"], "flatten": true});
        let attached = self.call("", "Target.attachToTarget", attach).await?;
        self.session = attached["sessionId"].as_str().unwrap_or_default().to_owned();
        if self.session.is_empty() {
            return Err("the browser opens no page".into());
        }
        let tree = self.page_call("Page.getFrameTree", json!({})).await?;
        self.frame = tree["frameTree"]["frame"]["id"].as_str().unwrap_or_default().to_owned();
        for (method, params) in [
            ("Page.enable", json!({})),
            ("Network.enable", json!({})),
            ("Runtime.enable", json!({})),
            ("Fetch.enable", json!({"handleAuthRequests": true})),
            ("Page.addScriptToEvaluateOnNewDocument", json!({"source": NO_RTC})),
            (
                "Page.addScriptToEvaluateOnNewDocument",
                json!({"source": OBSERVE, "worldName": WORLD}),
            ),
            ("Target.setAutoAttach", auto_attach()),
        ] {
            self.page_call(method, params).await?;
        }
        Ok(())
    }

    async fn page_call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let session = self.session.clone();
        self.call(&session, method, params).await
    }

    /// Makes a call, and waits for its answer while events are taken.
    async fn call(&mut self, session: &str, method: &str, params: Value) -> Result<Value, String> {
        let id = self.queue(session, method, params);
        loop {
            let message = self.next().await?;
            if message.id == Some(id) {
                return match message.error {
                    Some(error) => Err(format!("{method}: {}", bounded(&error.message))),
                    None => Ok(message.result),
                };
            }
        }
    }

    fn queue(&mut self, session: &str, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        self.out.extend_from_slice(message.to_string().as_bytes());
        self.out.push(0);
        self.last_id
    }

    /// The next message, its event taken. Given up at any moment, nothing is lost.
    async fn next(&mut self) -> Result<Message, String> {
        if let Some(why) = &self.gone {
            return Err(why.clone());
        }
        let message = loop {
            if self.out.is_empty() {
                break self.reader.next().await;
            }
            tokio::select! {
                written = self.to.write(&self.out) => match written {
                    Ok(0) => break Err(std::io::ErrorKind::WriteZero.into()),
                    Ok(length) => { self.out.drain(..length); }
                    Err(error) => break Err(error),
                },
                message = self.reader.next() => break message,
            }
        };
        match message {
            Ok(message) => {
                if let Some(method) = &message.method {
                    self.take(message.session.as_deref().unwrap_or(""), method, &message.params);
                }
                Ok(message)
            }
            Err(error) => {
                let why = if error.kind() == std::io::ErrorKind::Other {
                    error.to_string()
                } else {
                    "the browser ended by itself".to_owned()
                };
                self.gone = Some(why.clone());
                Err(why)
            }
        }
    }

    /// Takes events for so long.
    pub(crate) async fn rest(&mut self, time: Duration) {
        // The time is over, or the browser gone: the next call tells.
        let _ = tokio::time::timeout(time, async { while self.next().await.is_ok() {} }).await;
    }

    fn take(&mut self, session: &str, method: &str, params: &Value) {
        let is_page = session == self.session;
        self.requests.take(session, method, params);
        match method {
            "Page.loadEventFired" if is_page => self.loads += 1,
            "Network.requestWillBeSent" if is_page && self.is_document(params) => {
                self.host = host(params["request"]["url"].as_str().unwrap_or_default());
                self.status = None;
            }
            "Network.responseReceived" if is_page && self.is_document(params) => {
                let status = params["response"]["status"].as_u64();
                self.status = status.and_then(|status| u16::try_from(status).ok());
            }
            "Fetch.requestPaused" => self.let_through(session, params),
            "Fetch.authRequired" => {
                let answer = if params["authChallenge"]["source"] == "Proxy" {
                    json!({"response": "ProvideCredentials", "username": self.credential.0, "password": self.credential.1})
                } else {
                    json!({"response": "CancelAuth"})
                };
                let answer =
                    json!({"requestId": params["requestId"], "authChallengeResponse": answer});
                self.queue(session, "Fetch.continueWithAuth", answer);
            }
            "Page.javascriptDialogOpening" => {
                self.queue(session, "Page.handleJavaScriptDialog", json!({"accept": false}));
            }
            "Target.attachedToTarget" => self.attached(params),
            "Runtime.consoleAPICalled" if params["type"] == "error" => {
                let words = params["args"].as_array().into_iter().flatten().take(8);
                let words = words.filter_map(|one| {
                    one["value"].as_str().or_else(|| one["description"].as_str())
                });
                let text = words.collect::<Vec<_>>().join(" ");
                self.wrote(&text);
            }
            "Runtime.exceptionThrown" => {
                let details = &params["exceptionDetails"];
                let text = details["exception"]["description"].as_str();
                self.wrote(text.or_else(|| details["text"].as_str()).unwrap_or("an exception"));
            }
            _ => {}
        }
    }

    fn is_document(&self, params: &Value) -> bool {
        params["type"] == "Document" && params["frameId"] == self.frame.as_str()
    }

    /// What goes by the proxy goes on, and what needs no way out; anything else does not.
    fn let_through(&mut self, session: &str, params: &Value) {
        let url = params["request"]["url"].as_str().unwrap_or_default();
        let id = params["requestId"].clone();
        if may_go(url) {
            self.queue(session, "Fetch.continueRequest", json!({"requestId": id}));
        } else {
            let why = json!({"requestId": id, "errorReason": "BlockedByClient"});
            self.queue(session, "Fetch.failRequest", why);
        }
    }

    /// A frame or worker of another process: what it asks for is told too.
    fn attached(&mut self, params: &Value) {
        let Some(session) = params["sessionId"].as_str() else { return };
        self.sessions += 1;
        if self.sessions <= MAX_SESSIONS {
            self.queue(session, "Network.enable", json!({}));
            self.queue(session, "Fetch.enable", json!({"handleAuthRequests": true}));
            self.queue(session, "Target.setAutoAttach", auto_attach());
            let rtc = json!({"source": NO_RTC});
            self.queue(session, "Page.addScriptToEvaluateOnNewDocument", rtc);
        }
        self.queue(session, "Runtime.runIfWaitingForDebugger", json!({}));
    }

    fn wrote(&mut self, text: &str) {
        if self.console.len() < MAX_CONSOLE {
            // Addresses in it may have secrets in their queries.
            let words: Vec<String> = text
                .split_whitespace()
                .map(|word| if word.contains("://") { cut(word) } else { word.to_owned() })
                .collect();
            self.console.push(bounded(&words.join(" ")));
        } else {
            self.console_left_out += 1;
        }
    }

    /// Opens an address, and waits until all of it is loaded.
    pub(crate) async fn open(&mut self, url: &str) -> Result<(), String> {
        let before = self.loads;
        let went = self.page_call("Page.navigate", json!({"url": url})).await?;
        if let Some(why) = went["errorText"].as_str().filter(|text| !text.is_empty()) {
            return Err(format!("it does not open: {}", bounded(why)));
        }
        if went["loaderId"].is_string() {
            while self.loads == before {
                self.next().await?;
            }
        }
        Ok(())
    }

    /// What a script gives, in a world that the page's own scripts cannot reach. An error while a document goes.
    pub(crate) async fn evaluate(&mut self, script: &str) -> Result<Value, String> {
        let world = json!({"frameId": self.frame, "worldName": WORLD});
        let world = self.page_call("Page.createIsolatedWorld", world).await?;
        let ask = json!({"expression": script, "contextId": world["executionContextId"], "returnByValue": true});
        let found = self.page_call("Runtime.evaluate", ask).await?;
        if found["exceptionDetails"].is_object() {
            let text = found["exceptionDetails"]["exception"]["description"].as_str();
            return Err(bounded(text.unwrap_or("the script failed")));
        }
        Ok(found["result"]["value"].clone())
    }

    pub(crate) async fn click(&mut self, x: f64, y: f64) -> Result<(), String> {
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({"type": kind, "x": x, "y": y, "button": button, "clickCount": 1});
            self.page_call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    pub(crate) async fn insert(&mut self, text: &str) -> Result<(), String> {
        self.page_call("Input.insertText", json!({"text": text})).await.map(drop)
    }

    pub(crate) async fn press(&mut self, key: &str, code: u32) -> Result<(), String> {
        let name = if key == "Space" { " " } else { key };
        let text = match key {
            "Enter" => "\r",
            "Space" => " ",
            _ => "",
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event =
                json!({"type": kind, "key": name, "code": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.page_call("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    pub(crate) async fn vitals(&mut self) -> Result<Vitals, String> {
        let found = self.evaluate("globalThis.__holm ? __holm() : null").await?;
        let number =
            |name: &str| found[name].as_f64().filter(|value| value.is_finite() && *value >= 0.0);
        Ok(Vitals {
            ttfb_ms: number("ttfb"),
            fcp_ms: number("fcp"),
            lcp_ms: number("lcp"),
            cls: number("cls"),
            tbt_ms: number("tbt"),
            inp_ms: number("inp"),
        })
    }

    /// How the page looks, as JPEG.
    pub(crate) async fn screenshot(&mut self) -> Result<Vec<u8>, String> {
        for quality in [60, 25] {
            let ask = json!({"format": "jpeg", "quality": quality, "optimizeForSpeed": true});
            let taken = self.page_call("Page.captureScreenshot", ask).await?;
            let picture = STANDARD.decode(taken["data"].as_str().unwrap_or_default());
            let picture = picture.map_err(|_| "the browser sent no picture".to_owned())?;
            if picture.starts_with(&[0xff, 0xd8]) && picture.len() <= MAX_SCREENSHOT {
                return Ok(picture);
            }
        }
        Err(format!("the picture has more than {} KiB", MAX_SCREENSHOT >> 10))
    }
}

fn auto_attach() -> Value {
    json!({"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true})
}

/// Whether a page may ask for this: what goes by the proxy, and what has its answer in it.
pub(crate) fn may_go(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    matches!(&*scheme, "http" | "https" | "ws" | "wss" | "data" | "blob") || url == "about:blank"
}

fn bounded(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

/// Observes how the document comes up. `__holm()` gives what was measured (the Web Vitals' own definitions: largest
/// window of shifts of at most 5 s with gaps under 1 s; tasks over 50 ms after the first paint; interactions).
const OBSERVE: &str = "(() => { let lcp, cls = 0, from = 0, last = 0, sum = 0, inp; const tasks = [], seen = {}; \
const on = (type, f, more) => { try { const o = new PerformanceObserver(l => l.getEntries().forEach(f)); \
o.observe({type, buffered: true, ...more}); seen[type] = () => o.takeRecords().forEach(f); } catch (e) {} }; \
on('largest-contentful-paint', e => { lcp = e.startTime; }); \
on('layout-shift', e => { if (e.hadRecentInput) return; \
if (e.startTime - last > 1000 || e.startTime - from > 5000) { sum = 0; from = e.startTime; } \
last = e.startTime; sum += e.value; if (sum > cls) cls = sum; }); \
on('longtask', e => { if (tasks.length < 1000) tasks.push([e.startTime, e.duration]); }); \
on('event', e => { if (e.interactionId && !(inp > e.duration)) inp = e.duration; }, {durationThreshold: 16}); \
globalThis.__holm = () => { Object.values(seen).forEach(f => f()); \
const nav = performance.getEntriesByType('navigation')[0]; \
const fcp = performance.getEntriesByName('first-contentful-paint')[0]; \
return { ttfb: nav && nav.responseStart > 0 ? nav.responseStart : null, fcp: fcp ? fcp.startTime : null, \
lcp: lcp ?? null, cls: seen['layout-shift'] ? cls : null, \
tbt: seen.longtask && fcp ? tasks.filter(t => t[0] + t[1] > fcp.startTime).reduce((s, t) => s + Math.max(0, t[1] - 50), 0) : null, \
inp: inp ?? null }; }; })()";
