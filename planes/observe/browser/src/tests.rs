//! The real browser against small servers. Without a browser they say so and pass.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::{Address, Browser, Dialer, Expect, Refusal, Report, Step, Text, find, run};

/// One browser at a time: the tests' own machine may be small.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Whether users may make namespaces here, which a browser's sandbox is made of.
fn lets_users_make_namespaces() -> bool {
    let says = |name: &str, text: &str| {
        std::fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|said| said.trim() == text)
    };
    !says("user/max_user_namespaces", "0")
        && !says("kernel/unprivileged_userns_clone", "0")
        && !says("kernel/apparmor_restrict_unprivileged_userns", "1")
}

fn browser() -> Option<Browser> {
    if !lets_users_make_namespaces() {
        eprintln!("skipped: the browser's sandbox does not start here");
        return None;
    }
    match find("", std::env::var_os("PATH").as_deref()) {
        Ok(program) => Some(Browser { program, sandbox: true, memory: 1 << 30 }),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// Names of the test lead to the loopback address; everything else is refused.
struct Names {
    asked: Mutex<Vec<String>>,
}

impl Dialer for Names {
    fn address<'a>(&'a self, host: &'a str) -> Address<'a> {
        self.asked.lock().expect("whole").push(host.to_owned());
        Box::pin(async move {
            if host.ends_with(".example") {
                return Ok(IpAddr::from([127, 0, 0, 1]));
            }
            Err(Refusal { why: format!("{host} is not dialled"), refused: true })
        })
    }
}

/// A server of pages by path, and the requests' first lines and headers that came.
async fn serve(pages: BTreeMap<&'static str, String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (pages, told) = (Arc::new(pages), Arc::clone(&seen));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (pages, told) = (Arc::clone(&pages), Arc::clone(&told));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split_whitespace().nth(1).unwrap_or("/").to_owned();
                told.lock().expect("whole").push(head);
                let path = path.split('?').next().unwrap_or("/");
                let answer = match pages.get(path) {
                    Some(to) if to.starts_with("location: ") => {
                        format!(
                            "HTTP/1.1 302 Found\r\n{to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        )
                    }
                    Some(body) => format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    ),
                    None => {
                        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                            .into()
                    }
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, seen)
}

fn step(name: &str) -> Step {
    Step {
        name: name.into(),
        statuses: vec![(200, 399)],
        timeout: Duration::from_secs(40),
        ..Step::default()
    }
}

fn open(url: String) -> Step {
    Step { open: Some(url), ..step("open") }
}

async fn run_it(browser: &Browser, steps: &[Step]) -> (Report, Vec<String>) {
    let _one = ONE.lock().await;
    let names = Names { asked: Mutex::default() };
    let report = run(browser, steps, Duration::from_secs(90), &names).await;
    (report, names.asked.into_inner().expect("whole"))
}

#[tokio::test]
async fn steps_vitals_requests_and_a_picture() {
    let Some(browser) = browser() else { return };
    let form = "<title>Shop</title><h1>Welcome</h1><img src=/missing.png?token=secret><form action=/in>\
                <input name=user id=u><input name=pass id=p><button id=go>Go</button></form>\
                <script>console.error('of the page', 'https://a.example/x?token=1')</script>";
    let inside = "<title>Inside</title><p id=hello>Hello</p>";
    let (address, seen) =
        serve(BTreeMap::from([("/", form.to_owned()), ("/in", inside.to_owned())])).await;
    let url = format!("http://shop.example:{}/?session=abc", address.port());
    let steps = [
        Step { expect: vec![Expect::Title("Shop".into())], ..open(url) },
        Step { typed: Some(("#u".into(), Text::Plain("alice".into()))), ..step("user") },
        Step { typed: Some(("#p".into(), Text::Secret("hunter22".into()))), ..step("pass") },
        Step {
            press: Some("Enter".into()),
            expect: vec![Expect::Text("Hello".into()), Expect::Url("/in".into())],
            ..step("in")
        },
    ];
    let (report, _) = run_it(&browser, &steps).await;
    assert_eq!(report.error, None, "{report:?}");
    assert_eq!(report.steps.len(), 4);
    assert_eq!((report.status, report.address), (Some(200), Some([127, 0, 0, 1].into())));
    assert!(report.vitals.ttfb_ms.is_some() && report.vitals.fcp_ms.is_some(), "{report:?}");
    assert_eq!(report.vitals.cls, Some(0.0), "measured, and nothing shifted");
    assert!(report.screenshot.is_some_and(|jpeg| jpeg.0.len() < crate::page::MAX_SCREENSHOT));
    let of = |end: &str| report.requests.iter().find(|r| r.url.ends_with(end)).expect(end).clone();
    let first = of("/?…");
    assert_eq!((first.status, &*first.kind, &*first.method), (Some(200), "Document", "GET"));
    assert!(first.wait_ms.is_some() && first.bytes > Some(0));
    assert_eq!(of("/missing.png?…").status, Some(404));
    let text = format!("{:?} {:?}", report.requests, report.console);
    assert!(!text.contains("secret") && !text.contains("hunter22"), "{text}");
    assert!(report.console.iter().any(|line| line.contains("of the page")), "{text}");
    let seen = seen.lock().expect("whole").join("\n");
    assert!(seen.contains("user=alice&pass=hunter22"), "it was typed: {seen}");
    assert!(!seen.to_lowercase().contains("proxy-"), "the credential leaves the machine: {seen}");
}

#[tokio::test]
async fn what_fails_is_told_with_its_step_and_a_picture() {
    let Some(browser) = browser() else { return };
    let (address, _) = serve(BTreeMap::from([("/", "<p>Hello</p>".to_owned())])).await;
    let base = format!("http://shop.example:{}", address.port());
    let gone = Step { click: Some("#none".into()), timeout: Duration::from_secs(2), ..step("buy") };
    let (report, _) = run_it(&browser, &[open(format!("{base}/")), gone]).await;
    let error = report.error.expect("it fails");
    assert!(error.contains("step buy: no element #none came"), "{error}");
    assert_eq!(report.failed_step.as_deref(), Some("buy"));
    assert!(report.screenshot.is_some(), "{:?}", report.no_screenshot);
    let (report, _) = run_it(&browser, &[open(format!("{base}/nowhere"))]).await;
    assert_eq!(report.error.as_deref(), Some("step open: the status is 404"));
}

#[tokio::test]
async fn there_is_no_way_round_the_guard() {
    let Some(browser) = browser() else { return };
    // Whoever gets here got round: these are on the loopback address, and none of them was dialled by a good name.
    let (inner, reached) = serve(BTreeMap::from([("/", "in".to_owned())])).await;
    let stun = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let (port, udp) = (inner.port(), stun.local_addr().expect("bound").port());
    let page = format!(
        "<title>Trap</title><link rel=preconnect href=http://127.0.0.1:{port}><link rel=prefetch href=http://127.0.0.1:{port}/p>\
         <link rel=dns-prefetch href=//rebound.test><img src=http://127.0.0.1:{port}/image><img src=http://[::1]:{port}/six>\
         <iframe src=http://localhost:{port}/frame></iframe><iframe src=file:///etc/passwd></iframe><img src=/away>\
         <p id=done></p><script>\
         const tries = [fetch('http://169.254.169.254/latest/meta-data/', {{mode: 'no-cors'}}), fetch('file:///etc/passwd'), \
           fetch('http://127.0.0.1:{port}/fetch', {{mode: 'no-cors'}}), \
           new Promise(r => {{ const w = new WebSocket('ws://127.0.0.1:{port}/socket'); w.onerror = w.onclose = r; }}), \
           new Promise(r => {{ navigator.sendBeacon('http://127.0.0.1:{port}/beacon'); r(); }}), \
           new Promise(r => {{ const w = new Worker(URL.createObjectURL(new Blob([\"fetch('http://127.0.0.1:{port}/worker', {{mode: 'no-cors'}}).finally(() => postMessage(1))\"]))); w.onmessage = r; w.onerror = r; }})];\
         try {{ const frame = document.createElement('iframe'); document.body.append(frame); \
           for (const R of [window.RTCPeerConnection, frame.contentWindow.RTCPeerConnection]) {{ if (!R) continue; \
             const c = new R({{iceServers: [{{urls: 'stun:127.0.0.1:{udp}'}}]}}); c.createDataChannel('x'); c.createOffer().then(o => c.setLocalDescription(o)); }} }} catch (e) {{}}\
         try {{ new WebTransport('https://127.0.0.1:{udp}/'); }} catch (e) {{}}\
         try {{ window.open('http://127.0.0.1:{port}/popup'); }} catch (e) {{}}\
         Promise.allSettled(tries).then(() => setTimeout(() => {{ document.getElementById('done').textContent = 'all tried'; }}, 2000));\
         </script>"
    );
    let away = format!("location: http://127.0.0.1:{port}/redirected");
    let (address, _) = serve(BTreeMap::from([("/", page), ("/away", away)])).await;
    let url = format!("http://trap.example:{}/", address.port());
    let steps =
        [open(url), Step { expect: vec![Expect::Text("all tried".into())], ..step("tried") }];
    let (report, asked) = run_it(&browser, &steps).await;
    assert_eq!(report.error, None, "{report:?}");
    assert_eq!(*reached.lock().expect("whole"), Vec::<String>::new(), "somebody got round");
    let mut packet = [0; 100];
    assert!(stun.try_recv(&mut packet).is_err(), "a packet got round");
    assert!(asked.iter().any(|host| host == "169.254.169.254"), "the guard was asked: {asked:?}");
    let blocked = |end: &str| {
        let found = report.requests.iter().find(|r| r.url.ends_with(end));
        found.and_then(|r| r.blocked.clone()).unwrap_or_else(|| panic!("{end}: {found:?}"))
    };
    for end in ["/image", "/latest/meta-data/", "/redirected", "/fetch"] {
        assert!(blocked(end).contains("is not dialled"), "{end}");
    }
    assert!(!report.refused, "the document itself was let through");
}

#[tokio::test]
async fn a_document_that_is_refused_says_so() {
    let Some(browser) = browser() else { return };
    for url in ["http://10.0.0.1/", "https://10.0.0.1/"] {
        let (report, _) = run_it(&browser, &[open(url.into())]).await;
        assert!(report.refused, "{report:?}");
        assert_eq!(report.error.as_deref(), Some("step open: 10.0.0.1 is not dialled"));
    }
}

#[tokio::test]
async fn a_browser_ends_with_its_run_and_leaves_nothing() {
    let Some(browser) = browser() else { return };
    let (address, _) = serve(BTreeMap::from([("/", "<script>for (;;) {}</script>".into())])).await;
    let _one = ONE.lock().await;
    // Other tests have browsers of their own: what is there at a moment has to go, whosever it is.
    let folders = || -> Vec<String> {
        let all = std::fs::read_dir(std::env::temp_dir()).expect("there").flatten();
        let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("holm-browser-")).collect()
    };
    let processes = |of: &str| {
        let all = std::fs::read_dir("/proc").expect("there").flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(of)).count()
    };
    let before = folders();
    let names = Names { asked: Mutex::default() };
    let steps = [open(format!("http://shop.example:{}/", address.port()))];
    let report = run(&browser, &steps, Duration::from_secs(12), &names).await;
    assert!(report.error.is_some(), "{report:?}");
    // Given up in the middle: a node that stops.
    let mut cut = Box::pin(run(&browser, &steps, Duration::from_secs(60), &names));
    assert!(tokio::time::timeout(Duration::from_secs(4), &mut cut).await.is_err());
    let there: Vec<String> = folders().into_iter().filter(|name| !before.contains(name)).collect();
    assert!(there.iter().any(|name| processes(name) > 0), "it runs: {there:?}");
    drop(cut);
    for _ in 0..300 {
        let now = folders();
        if !there.iter().any(|name| now.contains(name) || processes(name) > 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("something is left of {there:?}: {:?}", folders());
}

#[tokio::test]
async fn memory_is_bounded() {
    let Some(mut browser) = browser() else { return };
    browser.memory = 1 << 20;
    let (address, _) = serve(BTreeMap::from([("/", "<p>Hello</p>".into())])).await;
    let never = Step { expect: vec![Expect::Text("never".into())], ..step("wait") };
    let (report, _) =
        run_it(&browser, &[open(format!("http://shop.example:{}/", address.port())), never]).await;
    let error = report.error.expect("it is ended");
    assert!(
        error.contains("the browser was ended") && error.contains("1 MiB are allowed"),
        "{error}"
    );
}
