//! The demo's services: small processes that answer HTTP and call each other, for real.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const CALL_LIMIT: Duration = Duration::from_secs(2);
const MAX_REQUEST_BYTES: usize = 4_096;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";

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
            tokio::spawn(tokio::time::timeout(CALL_LIMIT, exchange(stream)));
        }
    }
}

async fn exchange(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = vec![0; MAX_REQUEST_BYTES];
    let _ = stream.read(&mut request).await?;
    stream.write_all(ANSWER).await?;
    stream.shutdown().await
}

async fn call(from: IpAddr, targets: &[SocketAddr], every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        for target in targets {
            // A call that fails is part of the story: the next one may not.
            let _ = tokio::time::timeout(CALL_LIMIT, one_call(from, *target)).await;
        }
    }
}

async fn one_call(from: IpAddr, target: SocketAddr) -> std::io::Result<()> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if from.is_ipv4() == target.is_ipv4() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let mut stream = socket.connect(target).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(())
}
