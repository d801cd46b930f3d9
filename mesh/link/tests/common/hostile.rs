//! A peer that holds a good certificate and keeps none of the rules: it speaks frames by hand over QUIC,
//! and remembers every byte that it was sent, so that a test can look for what it must not have learnt.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_certs::Identity;
use holm_mesh_proto::sync::{Session, SyncPeer};
use holm_mesh_proto::wire::{
    Control, Frame, Hello, MeshId, OLDEST_PROTOCOL, PROTOCOL_VERSION, Sync,
};
use holm_mesh_proto::wire::{RpcRequest, RpcResponse};
use holm_mesh_proto::{DocumentStore, Scope};
use holm_model::{Millis, TenantId};
use tokio::sync::mpsc;

pub const CONTROL: &str = "/holm/control/1";
pub const SYNC: &str = "/holm/sync/1";
pub const RPC: &str = "/holm/rpc/1";
const SELECT: &str = "/multistream/1.0.0";
/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(20);

type Heard = Arc<Mutex<Vec<u8>>>;

/// A connection to a node, with a control stream.
pub struct Hostile {
    pub connection: quinn::Connection,
    pub control: Talk,
    /// Streams that the node opened, by protocol; identify and its like are declined.
    pub inbound: mpsc::UnboundedReceiver<(String, Talk)>,
    heard: Heard,
    site: holm_model::SiteId,
    _endpoint: quinn::Endpoint,
}

/// One stream.
pub struct Talk {
    send: Arc<tokio::sync::Mutex<quinn::SendStream>>,
    pub recv: quinn::RecvStream,
    heard: Heard,
}

/// The Hello of the identity's node.
pub fn hello_of(identity: &Identity, mesh_id: MeshId) -> Hello {
    let (site, node) = identity.spiffe_id().site_and_node().expect("a node's");
    Hello {
        protocol_min: OLDEST_PROTOCOL,
        protocol_max: PROTOCOL_VERSION,
        mesh_id,
        site,
        node,
        addresses: vec![],
        api_port: None,
        generation: Millis::now().0,
        known_generation: 0,
        sent_at: Millis::now(),
        instance: Millis::now().0,
    }
}

impl Hostile {
    /// Connects to the node at `address`.
    pub async fn connect(identity: &Identity, mesh_id: MeshId, address: SocketAddr) -> Self {
        Self::greet(identity, hello_of(identity, mesh_id), address).await.expect("is let in")
    }

    /// Connects with a Hello; the code and reason if the node refuses it.
    pub async fn greet(
        identity: &Identity,
        hello: Hello,
        address: SocketAddr,
    ) -> Result<Self, (u64, String)> {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("valid"));
        let endpoint = endpoint.expect("binds");
        let tls = identity.quic_client_config(b"holm/1").expect("a config");
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
        let config = quinn::ClientConfig::new(Arc::new(tls));
        let connecting = endpoint.connect_with(config, address, "x").expect("starts");
        let connection = connecting.await.expect("TLS is fine");
        let heard = Heard::default();
        let (send, recv) = connection.open_bi().await.expect("opens");
        let mut first = Talk::new(send, recv, &heard);
        let site = hello.site.clone();
        first.say(&hello).await;
        first.send.lock().await.finish().expect("open");
        if first.hear::<Hello>().await.is_none() {
            return Err(closed(&connection).await);
        }
        let control = open(&connection, CONTROL, &heard).await.expect("opens");
        tokio::spawn(stay(control.send.clone()));
        let (sender, inbound) = mpsc::unbounded_channel();
        tokio::spawn(accept(connection.clone(), heard.clone(), sender));
        Ok(Self { connection, control, inbound, heard, site, _endpoint: endpoint })
    }

    /// Opens a stream of `protocol`.
    pub async fn open(&self, protocol: &str) -> Option<Talk> {
        open(&self.connection, protocol, &self.heard).await
    }

    /// Takes in what the node says on the control stream, for as long.
    pub async fn listen(&mut self, time: Duration) -> Vec<Control> {
        let end = tokio::time::Instant::now() + time;
        let mut all = Vec::new();
        while let Ok(Some(message)) =
            tokio::time::timeout_at(end, self.control.hear::<Control>()).await
        {
            all.push(message);
        }
        all
    }

    /// Runs a reconciliation that this peer begins, by the rules, out of `store`. Why it failed, if so.
    pub async fn reconcile(
        &self,
        tenant: &TenantId,
        scope: Scope,
        store: &dyn DocumentStore,
    ) -> Result<holm_mesh_proto::SyncReport, String> {
        let peer = SyncPeer { site: self.site.clone(), name: "the node".to_owned() };
        let mut session = Session::initiate(peer, tenant.clone(), scope, store).expect("permitted");
        let mut talk = self.open(SYNC).await.ok_or("no stream")?;
        loop {
            while let Some(message) = session.poll_transmit(store) {
                talk.say(&message).await;
            }
            if session.is_done() {
                return Ok(session.report().clone());
            }
            let message = talk.hear::<Sync>().await.ok_or("the stream ended")?;
            session.handle(message, store).map_err(|error| error.to_string())?;
        }
    }

    /// Calls `method`.
    pub async fn call(&self, method: &str, body: &[u8]) -> Option<Result<Vec<u8>, String>> {
        let mut talk = self.open(RPC).await?;
        talk.say(&RpcRequest { method: method.to_owned(), body: body.to_vec() }).await;
        talk.hear::<RpcResponse>().await.map(|RpcResponse(answer)| answer)
    }

    /// Whether `needle` is anywhere in what the node sent.
    pub fn was_told(&self, needle: &[u8]) -> bool {
        let heard = self.heard.lock().expect("no test panics with it");
        heard.windows(needle.len()).any(|window| window == needle)
    }

    /// How many bytes the node sent in frames.
    pub fn heard(&self) -> usize {
        self.heard.lock().expect("no test panics with it").len()
    }
}

impl Talk {
    fn new(send: quinn::SendStream, recv: quinn::RecvStream, heard: &Heard) -> Self {
        Self { send: Arc::new(tokio::sync::Mutex::new(send)), recv, heard: heard.clone() }
    }

    /// Sends a frame; nothing if the stream is over.
    pub async fn say(&mut self, message: &impl Frame) {
        self.say_bytes(&message.to_frame().expect("within its limit")).await;
    }

    /// Sends bytes; whether the stream still stands.
    pub async fn say_bytes(&mut self, bytes: &[u8]) -> bool {
        let write = async { self.send.lock().await.write_all(bytes).await };
        tokio::time::timeout(PATIENCE, write).await.is_ok_and(|written| written.is_ok())
    }

    /// The next frame; `None` when the stream is over or nothing comes.
    pub async fn hear<F: Frame>(&mut self) -> Option<F> {
        let mut header = [0; 4];
        self.take(&mut header).await?;
        let mut body = vec![0; F::body_length(header).expect("within its limit")];
        self.take(&mut body).await?;
        Some(F::from_bytes(&body).expect("our own node speaks well"))
    }

    async fn take(&mut self, buffer: &mut [u8]) -> Option<()> {
        let read = tokio::time::timeout(PATIENCE, self.recv.read_exact(buffer)).await;
        read.ok()?.ok()?;
        self.heard.lock().expect("no test panics with it").extend_from_slice(buffer);
        Some(())
    }

    /// A line of multistream-select: its length, which fits a byte, its text, a line feed.
    async fn line(&mut self) -> Option<String> {
        let mut length = [0];
        self.take(&mut length).await?;
        let mut text = vec![0; usize::from(length[0])];
        self.take(&mut text).await?;
        String::from_utf8(text).ok().map(|line| line.trim_end().to_owned())
    }

    async fn say_line(&mut self, line: &str) {
        let length = u8::try_from(line.len() + 1).expect("short");
        self.say_bytes(&[&[length], line.as_bytes(), b"\n"].concat()).await;
    }
}

/// Says something now and then, so that the node does not take it for dead.
async fn stay(control: Arc<tokio::sync::Mutex<quinn::SendStream>>) {
    let ping = Control::Ping { sequence: 0, sent_at: Millis::now(), clock: None };
    let frame = ping.to_frame().expect("small");
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if control.lock().await.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn open(connection: &quinn::Connection, protocol: &str, heard: &Heard) -> Option<Talk> {
    let opened = tokio::time::timeout(PATIENCE, connection.open_bi()).await.ok()?;
    let (send, recv) = opened.ok()?;
    let mut talk = Talk::new(send, recv, heard);
    talk.say_line(SELECT).await;
    talk.say_line(protocol).await;
    let answer = [talk.line().await?, talk.line().await?];
    (answer == [SELECT.to_owned(), protocol.to_owned()]).then_some(talk)
}

async fn accept(
    connection: quinn::Connection,
    heard: Heard,
    inbound: mpsc::UnboundedSender<(String, Talk)>,
) {
    while let Ok((send, recv)) = connection.accept_bi().await {
        let (heard, inbound) = (heard.clone(), inbound.clone());
        tokio::spawn(async move {
            let mut talk = Talk::new(send, recv, &heard);
            talk.say_line(SELECT).await;
            let _version = talk.line().await?;
            let protocol = talk.line().await?;
            if [CONTROL, SYNC, RPC].contains(&protocol.as_str()) {
                talk.say_line(&protocol).await;
                // The test may want no more of them.
                let _gone = inbound.send((protocol, talk));
            } else {
                talk.say_line("na").await;
            }
            Some(())
        });
    }
}

async fn closed(connection: &quinn::Connection) -> (u64, String) {
    match connection.closed().await {
        quinn::ConnectionError::ApplicationClosed(frame) => {
            let text = String::from_utf8_lossy(&frame.reason).into_owned();
            (frame.error_code.into_inner(), text)
        }
        other => panic!("closed with {other}"),
    }
}
