//! The demo's services: small processes that answer HTTP and call each other, for real.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const CALL_LIMIT: Duration = Duration::from_secs(2);
const MAX_REQUEST_BYTES: usize = 4_096;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: demo\r\n\r\n";
/// A connection is used for so many calls, as a client's pool would.
const CALLS_PER_CONNECTION: u32 = 10;

#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Where it answers; nowhere if it only calls.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The address its own calls come from.
    #[arg(long)]
    from: IpAddr,
    /// A service that it calls; may be given again.
    #[arg(long)]
    call: Vec<SocketAddr>,
    /// How often it calls.
    #[arg(long, default_value_t = 1_000)]
    every_ms: u64,
}

/// Serves and calls until standard input closes.
pub(super) async fn run(args: ServiceArgs) -> anyhow::Result<()> {
    let listener = match args.listen {
        Some(address) => Some(TcpListener::bind(address).await?),
        None => None,
    };
    tokio::select! {
        () = answer(listener) => {}
        () = call(args.from, &args.call, Duration::from_millis(args.every_ms)) => {}
        () = super::stop_when_stdin_closes() => {}
    }
    Ok(())
}

async fn answer(listener: Option<TcpListener>) {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(exchange(stream));
        }
    }
}

/// Answers what comes over a connection until it ends.
async fn exchange(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = vec![0; MAX_REQUEST_BYTES];
    while stream.read(&mut request).await? > 0 {
        stream.write_all(ANSWER).await?;
    }
    Ok(())
}

async fn call(from: IpAddr, targets: &[SocketAddr], every: Duration) {
    let mut callers = tokio::task::JoinSet::new();
    for target in targets {
        callers.spawn(call_one(from, *target, every));
    }
    while callers.join_next().await.is_some() {}
    std::future::pending().await
}

async fn call_one(from: IpAddr, target: SocketAddr, every: Duration) {
    loop {
        // A call that fails is part of the story: the next one may not.
        let calls = call_often(from, target, every);
        let _ = calls.await;
        tokio::time::sleep(every).await;
    }
}

async fn call_often(from: IpAddr, target: SocketAddr, every: Duration) -> std::io::Result<()> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if from.is_ipv4() == target.is_ipv4() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let mut stream = within(socket.connect(target)).await?;
    let mut answer = vec![0; ANSWER.len()];
    for _ in 0..CALLS_PER_CONNECTION {
        within(stream.write_all(REQUEST)).await?;
        within(stream.read_exact(&mut answer)).await?;
        tokio::time::sleep(every).await;
    }
    Ok(())
}

async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(CALL_LIMIT, work).await?
}
