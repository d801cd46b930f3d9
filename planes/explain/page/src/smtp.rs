//! Mail, by SMTP with TLS (RFC 5321, 3207, 8314). Messages about one incident name it in `References`
//! (RFC 5322, 3.6.4), so that mail programs show them as one thread.

mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holm_model::Millis;
use lettre::Message;
use lettre::address::Envelope;
use lettre::message::header::{self, ContentType};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::provider::Outcome;
use crate::{Connector, Event, MayDial, Page, escape};
use session::{Server, Untaken};

/// How long recipients are told one by one before the others wait for the next attempt.
const ROUND: Duration = Duration::from_secs(20);
/// Most addresses of a server that are tried one after the other.
const MAX_ADDRESSES: usize = 3;

/// `limit`: how long a server may take for a step, and nine times that for the answer to the whole mail.
pub(crate) async fn deliver(
    (may_dial, limit): (&MayDial, Duration),
    told: &Told,
    connector: &Connector,
    page: &Page,
    now: Millis,
) -> Outcome {
    let message = match mail(connector, page, now) {
        Ok(message) => message,
        Err(why) => return Outcome::refused(format!("the mail cannot be written: {why}")),
    };
    let Some((host, port)) = connector.mail_server() else {
        return Outcome::refused("url: smtp://HOST:PORT");
    };
    let addresses = match may_dial.addresses(host, port).await {
        Ok(addresses) => addresses,
        Err(why) => return Outcome::retry(format!("the mail server is not reached: {why}")),
    };
    let mut said = None;
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        let server = match Server::new(connector, host, address, limit) {
            Ok(server) => server,
            Err(why) => return Outcome::refused(why),
        };
        let round = Round { server, message: &message, connector, told, page };
        match round.tell_all().await {
            Ok(outcome) => return outcome,
            // Who answered, or may have it, is not asked again at another of its addresses.
            Err((outcome, true)) => return outcome,
            Err((outcome, false)) => said = Some(outcome),
        }
    }
    said.unwrap_or_else(|| Outcome::retry("the mail server has no address"))
}

/// How long a message may take, where each step may take `limit`: a first attempt at all, a round, and the last of it.
pub(crate) fn longest(limit: Duration) -> Duration {
    ROUND + (limit * 2 + Server::longest_answer(limit)) * 2
}

/// What became of messages at recipients that are told one by one: nobody is told twice, and nobody who was refused is
/// asked again. Of so many messages the latest.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<VecDeque<(String, Recipients)>>);

const MAX_TOLD: usize = 1_000;

/// Who took a message, who was refused and why, and who is to be asked again.
#[derive(Debug, Default, Clone)]
struct Recipients {
    took: BTreeSet<Box<str>>,
    refused: BTreeMap<Box<str>, String>,
    waiting: BTreeMap<Box<str>, String>,
}

impl Told {
    fn of(&self, message: &str) -> Option<Recipients> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().find(|(of, _)| of == message).map(|(_, recipients)| recipients.clone())
    }

    /// What is known of a message now; nothing once it is done.
    fn set(&self, message: &str, recipients: Option<&Recipients>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(of, _)| of != message);
        told.extend(recipients.map(|recipients| (message.to_owned(), recipients.clone())));
        if told.len() > MAX_TOLD {
            told.pop_front();
        }
    }
}

/// One attempt at one address of a server.
struct Round<'a> {
    server: Server,
    message: &'a Message,
    connector: &'a Connector,
    told: &'a Told,
    page: &'a Page,
}

impl Round<'_> {
    /// Tells all at once, and one by one if the server does not take some of them. An error says whether the server
    /// answered.
    async fn tell_all(&self) -> Result<Outcome, (Outcome, bool)> {
        let Page { key, seq, event, .. } = self.page;
        let name = format!("{} {key} {seq} {}", self.connector.name, event.as_str());
        let all: Vec<&str> = self.connector.to.iter().map(|to| &**to).collect();
        if let Some(known) = self.told.of(&name) {
            return Ok(self.tell_each(&name, &all, known).await);
        }
        let said = match self.send(&all).await {
            Ok(()) => return Ok(Outcome::accepted()),
            Err(said) => said,
        };
        let answered = match &said {
            Untaken::Said(error) => error.status().is_some(),
            Untaken::Late => false,
            Untaken::Unsure(_) => true,
        };
        if all.len() > 1 && !answered {
            // It may be one of them that it takes so long for: next time one by one.
            self.told.set(&name, Some(&Recipients::default()));
        }
        if all.len() < 2 || !said.is_of_one() {
            return Err((said.heard(self.connector), answered));
        }
        Ok(self.tell_each(&name, &all, Recipients::default()).await)
    }

    /// Tells those who are left, first those who were not asked yet, as long as there is time.
    async fn tell_each(&self, name: &str, all: &[&str], mut known: Recipients) -> Outcome {
        let until = Instant::now() + ROUND;
        known.refused.retain(|to, _| all.contains(&&**to));
        known.took.retain(|to| all.contains(&&**to));
        let mut left: Vec<&str> = all.to_vec();
        left.retain(|to| !known.took.contains(*to) && !known.refused.contains_key(*to));
        left.sort_by_key(|to| known.waiting.contains_key(*to));
        known.waiting = std::mem::take(&mut known.waiting)
            .into_iter()
            .filter(|(to, _)| left.contains(&&**to))
            .collect();
        let mut asked = 0;
        for to in left.iter().take_while(|_| Instant::now() < until) {
            asked += 1;
            known.waiting.remove(*to);
            match self.send(&[to]).await {
                Ok(()) => drop(known.took.insert((*to).into())),
                Err(said) => match said.heard(self.connector) {
                    Outcome::Refused { reason } => drop(known.refused.insert((*to).into(), reason)),
                    Outcome::Retry { reason, .. } => {
                        known.waiting.insert((*to).into(), reason);
                    }
                    accepted @ Outcome::Accepted { .. } => return accepted,
                },
            }
            // At once: whatever becomes of this round, they are not told again.
            self.told.set(name, Some(&known));
        }
        let unasked = left.len() - asked;
        let is_done = unasked == 0 && known.waiting.is_empty();
        if is_done {
            self.told.set(name, None);
        }
        let each = known.waiting.iter().chain(&known.refused);
        let mut why: Vec<String> = each.map(|(to, why)| format!("{to}: {why}")).collect();
        if unasked > 0 {
            why.push(format!("{unasked} not asked yet"));
        }
        let why = crate::cut(&why.join("; "), 1_000);
        match (is_done, known.took.is_empty()) {
            (true, _) if why.is_empty() => Outcome::accepted(),
            (true, false) => Outcome::Accepted {
                provider_id: None,
                url: None,
                note: Some(format!("not told: {why}")),
            },
            (true, true) => Outcome::refused(why),
            (false, false) => Outcome::retry(format!("not told yet: {why}")),
            (false, true) => Outcome::retry(why),
        }
    }

    async fn send(&self, to: &[&str]) -> Result<(), Untaken> {
        let to = to.iter().filter_map(|to| to.parse().ok()).collect();
        let from = self.message.envelope().from().cloned();
        // As it was made of the same addresses, which are valid.
        let envelope = Envelope::new(from, to).unwrap_or_else(|_| self.message.envelope().clone());
        let mail = self.message.formatted();
        self.server.send(&envelope, &mail).await
    }
}

impl Untaken {
    fn heard(&self, connector: &Connector) -> Outcome {
        match self {
            Self::Said(error) => heard(connector, error),
            Self::Late => Outcome::retry("the mail server does not answer in time"),
            // Rather twice than never; it has the same Message-ID then.
            Self::Unsure(why) => {
                let why = why.as_ref().map_or_else(
                    || "nothing came in time".to_owned(),
                    |error| told_by(connector, error),
                );
                Outcome::retry(format!(
                    "the mail server has the mail and did not say whether it took it: {why}"
                ))
            }
        }
    }

    /// Whether it may be of one recipient (RFC 5321, 4.2.3), and not of who sends.
    fn is_of_one(&self) -> bool {
        let Self::Said(error) = self else { return false };
        let code = error.status().map(|code| code.to_string());
        let of_one = ["450", "451", "452", "550", "551", "552", "553", "554", "555"];
        code.is_some_and(|code| of_one.contains(&&*code))
    }
}

/// What an error says, without secrets.
fn told_by(connector: &Connector, error: &lettre::transport::smtp::Error) -> String {
    let mut said = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    // The address of a library's manual is nothing for people.
    let said = said.split(": https://").next().unwrap_or_default();
    let mut said = escape::clean(said);
    if connector.secret_text().len() >= 4 {
        said = said.replace(connector.secret_text(), "…");
    }
    crate::cut(&said, 240)
}

fn heard(connector: &Connector, error: &lettre::transport::smtp::Error) -> Outcome {
    let said = told_by(connector, error);
    if error.is_permanent() {
        return Outcome::refused(format!(
            "the mail server refuses it: {said}; correct user, secret or addresses"
        ));
    }
    // Also where it offers no STARTTLS: nothing is sent in the clear, and somebody may be in between for a
    // while only.
    Outcome::retry(format!("the mail server does not take it: {said}"))
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
