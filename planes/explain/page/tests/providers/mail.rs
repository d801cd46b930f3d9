//! Mail, to a server that speaks SMTP and TLS; and HTTPS with a root of its own.

use std::sync::{Arc, Mutex};

use super::{Event, Outcome, Provider, SECRET, connector, tell};
use holm_page::{Connector, Http, Mail};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A root, and what a server on 127.0.0.1 needs to be trusted by it.
fn certificate() -> (String, TlsAcceptor) {
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::new(Vec::new()).expect("no names");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_cert = root.self_signed(&root_key).expect("signed");
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let leaf = CertificateParams::new(names).expect("names");
    let leaf = leaf.signed_by(&key, &issuer).expect("signed");
    let chain = vec![leaf.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    (root_cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

/// A server for HTTPS that answers 202 with `body`: its address, and its root.
pub(crate) async fn https(body: Value) -> (String, String) {
    let (ca, tls) = certificate();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = tls.accept(stream).await else { continue };
            let mut piece = [0; 16_384];
            let _ = stream.read(&mut piece).await;
            let body = body.to_string();
            let head = format!("HTTP/1.1 202 X\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.flush().await;
        }
    });
    (url, ca)
}

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Starttls,
    /// Somebody in between took STARTTLS out.
    Stripped,
    Implicit,
    /// It knows the user and not the password.
    BadPassword,
    /// It has too much to do.
    Busy,
    /// It looks at a mail for so long before it takes it.
    Filters,
    /// It takes a mail and says nothing to QUIT.
    Lingers,
    /// It has the mail and goes without a word.
    Leaves,
    /// It does not know `gone…`, and takes `slow…` only when asked for the third time.
    Choosy,
}

#[derive(Default)]
struct Heard {
    mails: Vec<String>,
    recipients: Vec<String>,
    login: Vec<String>,
    /// Something was said in the clear that should not have been.
    in_the_clear: Vec<String>,
}

struct Smtp {
    port: u16,
    ca: String,
    heard: Arc<Mutex<Heard>>,
}

impl Smtp {
    async fn start(way: Way) -> Self {
        let (ca, tls) = certificate();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let said = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, said) = (tls.clone(), Arc::clone(&said));
                tokio::spawn(async move {
                    let _ = connection(stream, tls, way, &said).await;
                });
            }
        });
        Self { port, ca, heard }
    }

    fn connector(&self, login: bool) -> Connector {
        connector(Provider::Email, |d| {
            d.url = Some(format!("smtp://127.0.0.1:{}", self.port));
            (d.from, d.to) = (Some("holm@example.org".into()), vec!["ada@example.org".into()]);
            d.ca = Some(self.ca.clone());
            d.user = login.then(|| "holm".into());
            if !login {
                d.secret = None;
            }
        })
    }
}

async fn connection(
    mut stream: TcpStream,
    tls: TlsAcceptor,
    way: Way,
    heard: &Mutex<Heard>,
) -> std::io::Result<()> {
    if way == Way::Implicit {
        return session(&mut tls.accept(stream).await?, way, true, true, heard).await.map(drop);
    }
    if session(&mut stream, way, false, true, heard).await? {
        session(&mut tls.accept(stream).await?, way, true, false, heard).await?;
    }
    Ok(())
}

/// One conversation; whether TLS follows.
async fn session<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    way: Way,
    encrypted: bool,
    greets: bool,
    heard: &Mutex<Heard>,
) -> std::io::Result<bool> {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.write_all(b"220 mail.example.org ESMTP\r\n").await?;
        stream.flush().await?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let line = line.trim_end();
        let verb = line.split(' ').next().unwrap_or_default().to_uppercase();
        if !encrypted && !matches!(&*verb, "EHLO" | "STARTTLS" | "QUIT" | "NOOP") {
            heard.lock().expect("not poisoned").in_the_clear.push(line.to_owned());
        }
        let answer = match &*verb {
            "EHLO" if encrypted => {
                "250-mail.example.org\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"
            }
            "EHLO" if way == Way::Stripped => "250-mail.example.org\r\n250 8BITMIME\r\n",
            "EHLO" => "250-mail.example.org\r\n250 STARTTLS\r\n",
            "STARTTLS" => {
                stream.write_all(b"220 go ahead\r\n").await?;
                stream.flush().await?;
                return Ok(true);
            }
            "AUTH" => {
                heard.lock().expect("not poisoned").login.push(line.to_owned());
                if way == Way::BadPassword {
                    "535 5.7.8 bad credentials\r\n"
                } else {
                    "235 welcome\r\n"
                }
            }
            "MAIL" if way == Way::Busy => "451 4.3.2 try again later\r\n",
            "MAIL" => "250 ok\r\n",
            "RCPT" => {
                let recipients = &mut heard.lock().expect("not poisoned").recipients;
                recipients.push(line.to_owned());
                let asked = recipients.iter().filter(|asked| **asked == *line).count();
                match way {
                    Way::Choosy if line.contains("<gone") => "550 5.1.1 no such user\r\n",
                    Way::Choosy if line.contains("<slow") && asked < 3 => "450 come again\r\n",
                    _ => "250 ok\r\n",
                }
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                stream.flush().await?;
                let mut mail = String::new();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
                        break;
                    }
                    mail.push_str(&line);
                }
                heard.lock().expect("not poisoned").mails.push(mail);
                match way {
                    Way::Filters => tokio::time::sleep(LIMIT * 3).await,
                    Way::Leaves => return Ok(false),
                    _ => {}
                }
                "250 queued\r\n"
            }
            "QUIT" if way == Way::Lingers => std::future::pending().await,
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

#[tokio::test]
async fn mail_goes_out_encrypted_and_logged_in() {
    for way in [Way::Starttls, Way::Implicit] {
        let server = Smtp::start(way).await;
        let mut ops = server.connector(true);
        ops.tls = (way == Way::Implicit).then_some(Mail::Implicit);
        assert_eq!(tell(&ops, Event::Trigger, None).await, super::accepted(None));
        assert_eq!(tell(&ops, Event::Resolve, None).await, super::accepted(None));
        let heard = server.heard.lock().expect("not poisoned");
        assert!(heard.in_the_clear.is_empty(), "{:?}", heard.in_the_clear);
        assert!(heard.login[0].starts_with("AUTH PLAIN "), "{:?}", heard.login);
        assert!(heard.recipients[0].contains("<ada@example.org>"));
        assert_eq!(heard.mails.len(), 2);
        let (first, last) = (&heard.mails[0], &heard.mails[1]);
        assert!(first.contains("Message-ID: <i-7k2m9q4xw3ab1@example.org>"), "{first}");
        assert!(last.contains("References: <i-7k2m9q4xw3ab1@example.org>"), "{last}");
        let html = first.split_once("text/html").expect("HTML as well").1;
        assert!(!html.contains("<!channel>") && !first.contains(SECRET), "{first}");
    }
}

#[tokio::test]
async fn nothing_is_said_where_starttls_is_stripped() {
    let server = Smtp::start(Way::Stripped).await;
    let told = tell(&server.connector(true), Event::Trigger, None).await;
    let Outcome::Retry { reason, .. } = told else { panic!("{told:?}") };
    assert!(reason.contains("STARTTLS"), "{reason}");
    let heard = server.heard.lock().expect("not poisoned");
    assert!(heard.in_the_clear.is_empty() && heard.mails.is_empty(), "{:?}", heard.in_the_clear);
}

#[tokio::test]
async fn a_mail_server_of_another_root_is_not_talked_to() {
    let server = Smtp::start(Way::Starttls).await;
    let ops = Connector { ca: None, ..server.connector(true) };
    let told = tell(&ops, Event::Trigger, None).await;
    assert!(matches!(told, Outcome::Retry { .. }), "{told:?}");
    assert!(server.heard.lock().expect("not poisoned").login.is_empty());
}

#[tokio::test]
async fn a_bad_password_is_refused_and_a_busy_server_is_tried_again() {
    let server = Smtp::start(Way::BadPassword).await;
    let told = tell(&server.connector(true), Event::Trigger, None).await;
    let Outcome::Refused { reason } = told else { panic!("{told:?}") };
    assert!(reason.contains("bad credentials") && !reason.contains(SECRET), "{reason}");
    let server = Smtp::start(Way::Busy).await;
    let told = tell(&server.connector(false), Event::Trigger, None).await;
    let Outcome::Retry { reason, .. } = told else { panic!("{told:?}") };
    assert!(reason.contains("try again later"), "{reason}");
}

#[tokio::test]
async fn who_is_refused_keeps_nobody_else_from_being_told() {
    let server = Smtp::start(Way::Choosy).await;
    let mut ops = server.connector(false);
    let to = |names: &[&str]| names.iter().map(|n| format!("{n}@example.org").into()).collect();
    let http = Http::new(super::anywhere());
    ops.to = to(&["ada", "gone", "bob"]);
    let Outcome::Accepted { note: Some(note), .. } =
        super::tell_by(&http, &ops, Event::Trigger).await
    else {
        panic!("ada and bob take it")
    };
    assert!(
        note.starts_with("not told: gone@example.org: ") && note.contains("no such user"),
        "{note}"
    );
    assert_eq!(server.heard.lock().expect("not poisoned").mails.len(), 2);
    // Who is to be asked again is, and who took it is not told twice.
    ops.to = to(&["ada", "slow"]);
    let Outcome::Retry { reason, .. } = super::tell_by(&http, &ops, Event::Resolve).await else {
        panic!("slow does not take it yet")
    };
    assert!(reason.starts_with("not told yet: slow@example.org: "), "{reason}");
    assert_eq!(super::tell_by(&http, &ops, Event::Resolve).await, super::accepted(None));
    assert_eq!(server.heard.lock().expect("not poisoned").mails.len(), 4);
    // Who was refused is not asked again, and who was not asked yet comes before who is to be asked again.
    ops.to = to(&["slower", "gone", "bob"]);
    let asked = |name: &str| {
        let heard = server.heard.lock().expect("not poisoned");
        heard.recipients.iter().filter(|line| line.contains(&format!("<{name}@"))).count()
    };
    let before = asked("gone");
    let told = super::tell_by(&http, &ops, Event::Acknowledge).await;
    let Outcome::Retry { reason, .. } = told else {
        panic!("slower does not take it yet: {told:?}")
    };
    assert!(reason.contains("slower@") && reason.contains("gone@"), "{reason}");
    let refused = asked("gone") - before;
    let told = super::tell_by(&http, &ops, Event::Acknowledge).await;
    assert!(matches!(told, Outcome::Accepted { note: Some(_), .. }), "{told:?}");
    assert_eq!((asked("gone") - before, refused), (refused, 1));
    // Nobody takes it: each is named.
    ops.to = to(&["gone", "gone.too"]);
    let Outcome::Refused { reason } = super::tell_by(&http, &ops, Event::Trigger).await else {
        panic!("nobody takes it")
    };
    assert!(reason.contains("gone@example.org: "), "{reason}");
}

/// What a step may take in these tests.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

#[tokio::test]
async fn a_mail_that_the_server_took_is_not_sent_again_for_its_manners() {
    for way in [Way::Filters, Way::Lingers] {
        let server = Smtp::start(way).await;
        let http = Http::with_limit(LIMIT, super::anywhere());
        let outcome = super::tell_by(&http, &server.connector(true), Event::Trigger).await;
        assert_eq!(outcome, super::accepted(None));
        assert_eq!(server.heard.lock().expect("not poisoned").mails.len(), 1);
    }
}

#[tokio::test]
async fn a_server_that_has_the_mail_and_does_not_say_so_is_asked_again_with_the_same_message_id() {
    let server = Smtp::start(Way::Leaves).await;
    let http = Http::with_limit(LIMIT, super::anywhere());
    for _ in 0..2 {
        let outcome = super::tell_by(&http, &server.connector(true), Event::Trigger).await;
        let Outcome::Retry { reason, .. } = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("did not say whether it took it"), "{reason}");
    }
    let heard = server.heard.lock().expect("not poisoned");
    let ids: std::collections::BTreeSet<&str> = heard
        .mails
        .iter()
        .filter_map(|mail| mail.lines().find(|l| l.starts_with("Message-ID")))
        .collect();
    assert_eq!((heard.mails.len(), ids.len()), (2, 1), "{ids:?}");
}
