//! Mail, by SMTP with TLS (RFC 5321, 3207, 8314). Messages about one incident name it in `References`
//! (RFC 5322, 3.6.4), so that mail programs show them as one thread.

use std::net::SocketAddr;
use std::time::Duration;

use holm_model::Millis;
use lettre::message::header::{self, ContentType};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::provider::Outcome;
use crate::{Connector, Event, Mail, MayDial, Page, escape};

const LIMIT: Duration = Duration::from_secs(20);
/// Most addresses of a server that are tried one after the other.
const MAX_ADDRESSES: usize = 3;

pub(crate) async fn deliver(
    may_dial: &MayDial,
    connector: &Connector,
    page: &Page,
    now: Millis,
) -> Outcome {
    let message = match mail(connector, page, now) {
        Ok(message) => message,
        Err(why) => return Outcome::refused(format!("the mail cannot be written: {why}")),
    };
    let work = async {
        let Some((host, port)) = connector.mail_server() else {
            return Outcome::refused("url: smtp://HOST:PORT");
        };
        let addresses = match may_dial.addresses(host, port).await {
            Ok(addresses) => addresses,
            Err(why) => return Outcome::retry(format!("the mail server is not reached: {why}")),
        };
        let mut said = None;
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            let transport = match transport(connector, host, address) {
                Ok(transport) => transport,
                Err(why) => return Outcome::refused(why),
            };
            match transport.send(message.clone()).await {
                Ok(_) => return Outcome::accepted(),
                Err(error) => {
                    // Who answered is not asked again at another of its addresses.
                    let answered = error.status().is_some();
                    said = Some(heard(connector, &error));
                    if answered {
                        break;
                    }
                }
            }
        }
        said.unwrap_or_else(|| Outcome::retry("the mail server has no address"))
    };
    let late = |_| Outcome::retry("the mail server does not answer in time");
    tokio::time::timeout(LIMIT * 2, work).await.unwrap_or_else(late)
}

fn heard(connector: &Connector, error: &lettre::transport::smtp::Error) -> Outcome {
    let mut said = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    let mut said = escape::clean(&said);
    if connector.secret_text().len() >= 4 {
        said = said.replace(connector.secret_text(), "…");
    }
    let said = crate::cut(&said, 240);
    if error.is_permanent() {
        return Outcome::refused(format!(
            "the mail server refuses it: {said}; correct user, secret or addresses"
        ));
    }
    // Also where it offers no STARTTLS: nothing is sent in the clear, and somebody may be in between for a
    // while only.
    Outcome::retry(format!("the mail server does not take it: {said}"))
}

/// To an address that may be dialled; the certificate is that of `host`.
fn transport(
    connector: &Connector,
    host: &str,
    address: SocketAddr,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(ca) = &connector.ca {
        let root = Certificate::from_pem(ca.as_bytes())
            .map_err(|_| "ca: it is not a certificate in PEM".to_owned())?;
        parameters = parameters.add_root_certificate(root);
    }
    let parameters = parameters.build().map_err(|error| error.to_string())?;
    // Never opportunistic: without TLS nothing is said.
    let tls = match connector.tls {
        Some(Mail::Implicit) => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    };
    let domain = connector.from.as_deref().and_then(|from| from.rsplit_once('@'));
    let hello = domain.map_or("localhost", |(_, domain)| domain).to_owned();
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(address.port())
            .tls(tls)
            .hello_name(ClientId::Domain(hello))
            .timeout(Some(LIMIT));
    if let Some(user) = &connector.user {
        let credentials = Credentials::new(user.to_string(), connector.secret_text().to_owned());
        builder = builder
            .credentials(credentials)
            .authentication(vec![Mechanism::Plain, Mechanism::Login]);
    }
    Ok(builder.build())
}

fn mail(
    connector: &Connector,
    page: &Page,
    now: Millis,
) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
    let from = connector.from.as_deref().unwrap_or_default();
    let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    // The first message is the thread. Two sites that are apart name theirs alike, too.
    let thread = format!("<{}@{domain}>", page.key);
    let first = page.seq == 1 && page.event == Event::Trigger;
    let own = format!("<{}.{}.{}@{domain}>", page.key, page.seq, page.event.as_str());
    let again = if first { "" } else { "Re: " };
    let subject =
        format!("{again}[{}] {} ({})", page.severity, escape::clean(&page.title), page.key);
    let sent = std::time::UNIX_EPOCH + Duration::from_millis(now.0);
    let mut builder = Message::builder()
        .from(Mailbox::new(Some("Holm".into()), from.parse()?))
        .subject(subject)
        .date(sent)
        .message_id(Some(if first { thread.clone() } else { own }))
        // RFC 3834: nobody's absence answers it.
        .raw_header(lettre::message::header::HeaderValue::new(
            header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".into(),
        ));
    if !first {
        builder = builder.in_reply_to(thread.clone()).references(thread);
    }
    for to in &connector.to {
        builder = builder.to(Mailbox::new(None, to.parse()?));
    }
    let part = |kind, text: String| SinglePart::builder().header(kind).body(text);
    Ok(builder.multipart(
        MultiPart::alternative()
            .singlepart(part(ContentType::TEXT_PLAIN, plain(page)))
            .singlepart(part(ContentType::TEXT_HTML, html(page))),
    )?)
}

fn plain(page: &Page) -> String {
    let mut text = page.body(escape::tame);
    if let Some(link) = &page.link {
        text.push_str(&format!("\n\n{link}"));
    }
    text.push_str(&format!("\n\nsaid by {}\n", page.sender));
    text
}

fn html(page: &Page) -> String {
    let mut text = format!(
        "<p><strong>{}:</strong> {}</p>\n<table>\n",
        page.what(),
        escape::html(&page.title)
    );
    for fact in &page.facts {
        let (name, value) = (fact.name, escape::html(&fact.value));
        text.push_str(&format!("<tr><td>{name}</td><td>{value}</td></tr>\n"));
    }
    text.push_str("</table>\n");
    for line in &page.lines {
        text.push_str(&format!("<p>{}</p>\n", escape::html(line)));
    }
    if let Some(link) = &page.link {
        text.push_str(&format!(
            "<p><a href=\"{}\">Open in Holm</a></p>\n",
            link.replace('"', "%22")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draft;
    use crate::Provider;
    use crate::text::tests::page;

    fn connector() -> Connector {
        let draft = Draft {
            url: Some("smtp://mail.example.org".into()),
            from: Some("holm@example.org".into()),
            to: vec!["ada@example.org".into(), "bob@example.org".into()],
            ..Draft::default()
        };
        Connector::new("mail", Provider::Email, draft, None).expect("good")
    }

    #[test]
    fn mails_about_one_incident_are_one_thread_and_nothing_hostile() {
        let text = |event| {
            let mail = mail(&connector(), &page(event), Millis(0)).expect("written");
            String::from_utf8(mail.formatted()).expect("ASCII")
        };
        let first = text(Event::Trigger);
        assert!(first.contains("Message-ID: <i-7k2m9q4xw3ab1@example.org>\r\n"), "{first}");
        assert!(
            first.contains("Auto-Submitted: auto-generated\r\n") && !first.contains("References")
        );
        assert!(first.contains("To: ada@example.org, bob@example.org\r\n"), "{first}");
        let later = text(Event::Resolve);
        assert!(
            later.contains("Message-ID: <i-7k2m9q4xw3ab1.2.resolve@example.org>\r\n"),
            "{later}"
        );
        assert!(later.contains("References: <i-7k2m9q4xw3ab1@example.org>\r\n"), "{later}");
        assert!(!html(&page(Event::Trigger)).contains("<!channel>"));
        let mut hostile = page(Event::Trigger);
        hostile.title = "a\r\nBcc: evil@evil.example\r\n\r\nbody".into();
        let mail = mail(&connector(), &hostile, Millis(0)).expect("written");
        let formatted = String::from_utf8(mail.formatted()).expect("ASCII");
        assert!(!formatted.contains("\r\nBcc:"), "{formatted}");
    }
}
