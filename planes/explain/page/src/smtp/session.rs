//! One conversation with a mail server (RFC 5321).

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use crate::{Connector, Mail as Encryption};

/// A server filters a mail before it says that it took it: so many times as long as for all else. RFC 5321,
/// 4.5.3.2.6 would have ten minutes.
const FILTERS: u32 = 9;
/// How long the server has to say good-bye; nobody waits for it.
const PARTING: Duration = Duration::from_secs(5);

/// Why a mail was not taken.
#[derive(Debug)]
pub(super) enum Untaken {
    /// The server, or the connection to it, said so.
    Said(Error),
    /// Nothing came in time.
    Late,
    /// It has the whole mail, and did not say whether it took it.
    Unsure(Option<Error>),
}

/// A server at an address that may be dialled; its certificate is that of its name.
pub(super) struct Server {
    address: SocketAddr,
    tls: TlsParameters,
    implicit: bool,
    hello: ClientId,
    credentials: Option<Credentials>,
    limit: Duration,
}

impl Server {
    /// `limit`: how long each of connecting with greeting and login, and naming sender and recipients may take.
    pub(super) fn new(
        connector: &Connector,
        host: &str,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<Self, String> {
        let mut parameters = TlsParameters::builder(host.to_owned());
        if let Some(ca) = &connector.ca {
            let root = Certificate::from_pem(ca.as_bytes())
                .map_err(|_| "ca: it is not a certificate in PEM".to_owned())?;
            parameters = parameters.add_root_certificate(root);
        }
        let domain = connector.from.as_deref().and_then(|from| from.rsplit_once('@'));
        let secret = || connector.secret_text().to_owned();
        Ok(Self {
            address,
            tls: parameters.build().map_err(|error| error.to_string())?,
            implicit: connector.tls == Some(Encryption::Implicit),
            hello: ClientId::Domain(domain.map_or("localhost", |(_, domain)| domain).to_owned()),
            credentials: connector.user.as_ref().map(|u| Credentials::new(u.to_string(), secret())),
            limit,
        })
    }

    /// How long the server may take until it has said that it took the whole mail.
    pub(super) fn longest_answer(limit: Duration) -> Duration {
        limit * FILTERS
    }

    /// Sends a mail. It is taken once the server says so: what comes of its good-bye does not matter.
    pub(super) async fn send(&self, envelope: &Envelope, mail: &[u8]) -> Result<(), Untaken> {
        let mut connection = self.within(self.connect()).await?;
        if let Err(untaken) = self.within(name_all(&mut connection, envelope)).await {
            part(connection);
            return Err(untaken);
        }
        let answer = connection.message(mail);
        let result = match tokio::time::timeout(Self::longest_answer(self.limit), answer).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.status().is_some() => Err(Untaken::Said(error)),
            Ok(Err(error)) => Err(Untaken::Unsure(Some(error))),
            Err(_) => Err(Untaken::Unsure(None)),
        };
        part(connection);
        result
    }

    /// Never in the clear: without TLS nothing is said.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let at_once = self.implicit.then(|| self.tls.clone());
        let limit = Some(self.limit);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(self.address, limit, &self.hello, at_once, None)
                .await?;
        if !self.implicit {
            connection.starttls(self.tls.clone(), &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(connection)
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Untaken> {
        let done = tokio::time::timeout(self.limit, work).await.map_err(|_| Untaken::Late)?;
        done.map_err(Untaken::Said)
    }
}

/// Sender, recipients, and that the mail follows. What Holm writes is ASCII, and so are a connector's addresses.
async fn name_all(connection: &mut AsyncSmtpConnection, envelope: &Envelope) -> Result<(), Error> {
    connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await?;
    for to in envelope.to() {
        connection.command(Rcpt::new(to.clone(), Vec::new())).await?;
    }
    connection.command(Data).await.map(drop)
}

fn part(mut connection: AsyncSmtpConnection) {
    tokio::spawn(async move { tokio::time::timeout(PARTING, connection.abort()).await });
}
