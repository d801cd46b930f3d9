//! What a machine measured of itself at one moment.

use std::net::IpAddr;

use holm_model::Millis;
use serde::{Deserialize, Serialize};

use crate::Thresholds;

/// Most default gateways of a sample.
pub const MAX_GATEWAYS: usize = 8;
/// Most hops of a last mile.
pub const MAX_HOPS: usize = 64;
/// Most TCP connections of a sample.
pub const MAX_SESSIONS: usize = 64;
/// Most checks of a sample.
pub const MAX_CHECKS: usize = 64;
/// Longest text of a sample, in bytes.
pub const MAX_TEXT_BYTES: usize = 500;

/// A value that the machine's owner may withhold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown<T> {
    /// It is told.
    Told(T),
    /// It is there and is not told: it never left the machine.
    Withheld,
}

impl<T> Shown<T> {
    /// The value, if it is told.
    pub const fn told(&self) -> Option<&T> {
        match self {
            Self::Told(value) => Some(value),
            Self::Withheld => None,
        }
    }
}

impl<T: std::fmt::Display> std::fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(value) => value.fmt(f),
            Self::Withheld => f.write_str("withheld"),
        }
    }
}

/// A measurement, or why there is none. Not measured is neither fine nor zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured<T> {
    /// It was measured.
    Measured(T),
    /// It was not: why.
    NotMeasured(String),
}

impl<T> Measured<T> {
    /// The measurement, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Measured(value) => Some(value),
            Self::NotMeasured(_) => None,
        }
    }
}

impl<T> From<Result<T, String>> for Measured<T> {
    fn from(result: Result<T, String>) -> Self {
        match result {
            Ok(value) => Self::Measured(value),
            Err(why) => Self::NotMeasured(why),
        }
    }
}

/// What a machine measured of itself at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// When, by the machine's clock.
    pub at: Millis,
    /// How often the machine measures, in ms: 1,000 to one day.
    pub interval_ms: u64,
    /// The machine's own name.
    pub hostname: Shown<String>,
    /// The Wi-Fi link.
    pub wifi: Wifi,
    /// The default gateways; none if there is no default route.
    pub gateways: Measured<Vec<Gateway>>,
    /// The resolvers of DNS, in the order in which they are asked.
    pub resolvers: Measured<Vec<Resolver>>,
    /// The first hops, up to the first public one.
    pub last_mile: Measured<LastMile>,
    /// The machine's own TCP connections to chosen targets.
    pub sessions: Measured<Vec<Session>>,
    /// What else is checked.
    pub checks: Vec<Check>,
    /// What it is judged by.
    pub thresholds: Thresholds,
}

/// The Wi-Fi link of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wifi {
    /// There is no wireless interface.
    NoWifi,
    /// There is one, and it is not connected.
    NotConnected,
    /// It is connected.
    Link(Box<WifiLink>),
    /// The kernel did not say: why.
    NotMeasured(String),
}

/// A Wi-Fi link as nl80211 tells it; what the driver does not tell is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WifiLink {
    /// The interface.
    pub interface: String,
    /// The network's name.
    pub ssid: Shown<String>,
    /// The access point's address.
    pub bssid: Shown<String>,
    /// Whether the machine's default route goes over it.
    pub default_route: bool,
    /// Centre of the primary channel, in MHz.
    pub frequency_mhz: Option<u32>,
    /// The primary channel.
    pub channel: Option<u32>,
    /// Signal of the last frames, in dBm: -100 to 0 for most.
    pub signal_dbm: Option<i32>,
    /// Rate of sending, in Mbit/s.
    pub tx_mbps: Option<f64>,
    /// Rate of receiving, in Mbit/s.
    pub rx_mbps: Option<f64>,
    /// Packets sent since the machine joined this access point.
    pub tx_packets: Option<u64>,
    /// Of sending, frames that were sent again.
    pub tx_retries: Option<u64>,
    /// Packets that could not be sent.
    pub tx_failed: Option<u64>,
    /// Times that beacons were lost.
    pub beacon_losses: Option<u64>,
    /// Seconds since the machine joined this access point.
    pub connected_s: Option<u64>,
    /// Times that it went to another access point of the same network since the agent started.
    pub roams: Option<u64>,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// A default gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Its family.
    pub family: Family,
    /// Its address; none on a link without one (point to point).
    pub address: Option<Shown<IpAddr>>,
    /// The interface that leads to it.
    pub interface: String,
    /// Its echoes.
    pub echo: Measured<Echo>,
}

/// Echo requests (RFC 792, RFC 4443) to an address, and what came back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Echo {
    /// Requests.
    pub sent: u32,
    /// Replies.
    pub received: u32,
    /// Mean round trip, in ms; none without a reply.
    pub rtt_ms: Option<f64>,
}

impl Echo {
    /// Share of the requests without a reply, 0 to 1; none if nothing was sent.
    pub fn loss(&self) -> Option<f64> {
        let lost = self.sent.checked_sub(self.received)?;
        (self.sent > 0).then(|| f64::from(lost) / f64::from(self.sent))
    }
}

/// A resolver of DNS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolver {
    /// Its address.
    pub address: Shown<IpAddr>,
    /// Whether its address is not public: it stands on the machine or in the local network.
    pub local: bool,
    /// One question and its answer.
    pub answer: Measured<CheckResult>,
}

/// The way from the machine to the first public address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastMile {
    /// By what means it was traced, such as `raw sockets`.
    pub method: String,
    /// Its hops, the last the first public one if one answered.
    pub hops: Vec<WayHop>,
    /// Whether the last of them is public: the edge of the provider.
    pub edge_found: bool,
    /// Echoes of the edge.
    pub edge: Measured<Echo>,
}

/// A hop of the last mile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WayHop {
    /// Its TTL.
    pub ttl: u8,
    /// Its address; none if it did not answer.
    pub address: Option<Shown<IpAddr>>,
    /// Whether its address is public; one shared behind a carrier's NAT (RFC 6598) is not.
    pub public: bool,
    /// Mean round trip, in ms; none without an answer.
    pub rtt_ms: Option<f64>,
}

/// The machine's TCP connections to one address and port, as the kernel sees them (`tcp_info`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The target that was chosen.
    pub target: Shown<String>,
    /// What the kernel measured; not if there is no connection to it now.
    pub figures: Measured<SessionFigures>,
}

/// What the kernel measured of TCP connections to one target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFigures {
    /// Established connections.
    pub connections: u32,
    /// Mean of their smoothed round trips, in ms (RFC 6298).
    pub rtt_ms: f64,
    /// The shortest round trip that one of them saw, in ms.
    pub min_rtt_ms: Option<f64>,
    /// Segments with data that were sent.
    pub segments_sent: u64,
    /// Segments that were sent again.
    pub segments_again: u64,
    /// Sum of the rates at which data was last delivered, in Mbit/s.
    pub delivery_mbps: Option<f64>,
}

impl SessionFigures {
    /// Share of the segments that were sent again, 0 to 1; none below 100 segments, where it says nothing.
    pub fn loss(&self) -> Option<f64> {
        (self.segments_sent >= 100)
            .then(|| (self.segments_again as f64 / self.segments_sent as f64).min(1.0))
    }
}

/// A check of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name.
    pub name: Shown<String>,
    /// The kind of probe, such as `http`.
    pub probe: String,
    /// What it found.
    pub result: Measured<CheckResult>,
}

/// What a probe of a target found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// Whether it succeeded.
    pub success: bool,
    /// How long it took, in ms.
    pub duration_ms: Option<f64>,
    /// Why it failed.
    pub error: Option<Shown<String>>,
}

impl Sample {
    /// Checks what a machine sent: lengths, counts, and that numbers are numbers.
    ///
    /// # Errors
    /// What is wrong, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let mut bad = Bad(None);
        if !(1_000..=86_400_000).contains(&self.interval_ms) {
            bad.add("interval_ms", format_args!("it goes from 1,000 to 86,400,000"));
        }
        bad.shown("hostname", &self.hostname);
        bad.wifi(&self.wifi);
        if let Some(gateways) = bad.list("gateways", &self.gateways, MAX_GATEWAYS) {
            for gateway in gateways {
                bad.text("gateways.interface", &gateway.interface);
                bad.echo("gateways.echo", &gateway.echo);
            }
        }
        let resolvers = bad.list("resolvers", &self.resolvers, crate::MAX_RESOLVERS);
        for resolver in resolvers.unwrap_or_default() {
            bad.result("resolvers.answer", &resolver.answer);
        }
        match &self.last_mile {
            Measured::NotMeasured(why) => bad.text("last_mile", why),
            Measured::Measured(way) => {
                bad.text("last_mile.method", &way.method);
                bad.count("last_mile.hops", way.hops.len(), MAX_HOPS);
                way.hops.iter().for_each(|hop| bad.number("last_mile.hops.rtt_ms", hop.rtt_ms));
                bad.echo("last_mile.edge", &way.edge);
            }
        }
        let sessions = bad.list("sessions", &self.sessions, MAX_SESSIONS);
        for session in sessions.unwrap_or_default() {
            bad.shown("sessions.target", &session.target);
            match &session.figures {
                Measured::NotMeasured(why) => bad.text("sessions.figures", why),
                Measured::Measured(of) => {
                    for number in [Some(of.rtt_ms), of.min_rtt_ms, of.delivery_mbps] {
                        bad.number("sessions.figures", number);
                    }
                }
            }
        }
        bad.count("checks", self.checks.len(), MAX_CHECKS);
        for check in &self.checks {
            bad.shown("checks.name", &check.name);
            bad.text("checks.probe", &check.probe);
            bad.result("checks.result", &check.result);
        }
        bad.0.map_or(Ok(()), Err).and_then(|()| self.thresholds.check())
    }
}

/// The first thing that is wrong.
struct Bad(Option<String>);

impl Bad {
    fn add(&mut self, what: &str, rule: std::fmt::Arguments<'_>) {
        self.0.get_or_insert_with(|| format!("{what}: {rule}"));
    }

    fn text(&mut self, what: &str, text: &str) {
        if text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
            self.add(
                what,
                format_args!("at most {MAX_TEXT_BYTES} bytes, none a control character"),
            );
        }
    }

    fn shown(&mut self, what: &str, text: &Shown<String>) {
        if let Shown::Told(text) = text {
            self.text(what, text);
        }
    }

    fn number(&mut self, what: &str, number: Option<f64>) {
        if number.is_some_and(|number| !(0.0..=1e12).contains(&number)) {
            self.add(what, format_args!("a number from 0 to 10^12"));
        }
    }

    fn count(&mut self, what: &str, count: usize, most: usize) {
        if count > most {
            self.add(what, format_args!("at most {most}"));
        }
    }

    fn list<'a, T>(
        &mut self,
        what: &str,
        list: &'a Measured<Vec<T>>,
        most: usize,
    ) -> Option<&'a [T]> {
        match list {
            Measured::NotMeasured(why) => {
                self.text(what, why);
                None
            }
            Measured::Measured(list) => {
                self.count(what, list.len(), most);
                Some(list)
            }
        }
    }

    fn echo(&mut self, what: &str, echo: &Measured<Echo>) {
        match echo {
            Measured::NotMeasured(why) => self.text(what, why),
            Measured::Measured(echo) => {
                self.number(what, echo.rtt_ms);
                if echo.sent == 0 || echo.received > echo.sent || echo.sent > 1_000 {
                    self.add(what, format_args!("1 to 1,000 sent, and no more received than sent"));
                }
            }
        }
    }

    fn result(&mut self, what: &str, result: &Measured<CheckResult>) {
        match result {
            Measured::NotMeasured(why) => self.text(what, why),
            Measured::Measured(result) => {
                self.number(what, result.duration_ms);
                if let Some(error) = &result.error {
                    self.shown(what, error);
                }
            }
        }
    }

    fn wifi(&mut self, wifi: &Wifi) {
        match wifi {
            Wifi::NoWifi | Wifi::NotConnected => {}
            Wifi::NotMeasured(why) => self.text("wifi", why),
            Wifi::Link(link) => {
                self.text("wifi.interface", &link.interface);
                self.shown("wifi.ssid", &link.ssid);
                self.shown("wifi.bssid", &link.bssid);
                self.number("wifi.tx_mbps", link.tx_mbps);
                self.number("wifi.rx_mbps", link.rx_mbps);
                if link.signal_dbm.is_some_and(|dbm| !(-200..=50).contains(&dbm)) {
                    self.add("wifi.signal_dbm", format_args!("from -200 to 50"));
                }
            }
        }
    }
}
