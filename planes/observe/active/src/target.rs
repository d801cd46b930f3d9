//! A target: what is probed, and by which kind of probe.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::probes::TlsLook;
use crate::probes::dns::{Question, Server as NameServer};
use crate::probes::udp::PAYLOAD;
use crate::step::Step;
pub(crate) use crate::target_fields::{OF_PROBE, understands};
pub use crate::target_words::{DnsTransport, Dnssec, Family, HttpVersion, SipTransport, TlsScan};
use crate::voice::Codec;

/// Most days that a certificate is expected to be valid: none that is public is valid for longer.
const MAX_DAYS: u16 = 825;
/// Highest DSCP: it has six bits.
pub(crate) const MAX_DSCP: u8 = 63;

/// How a target is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// Steps in a real browser.
    Browser,
    /// A question to a name server (RFC 1035).
    Dns,
    /// A request with its phases and what TLS says.
    Http,
    /// Echo requests (RFC 792, RFC 4443).
    Icmp,
    /// A stream of voice that comes back as it was sent (RFC 3550).
    Rtp,
    /// Requests that follow each other.
    Script,
    /// The request OPTIONS to a SIP server (RFC 3261 §11).
    Sip,
    /// Packets to a reflector (RFC 8762).
    Stamp,
    /// The time to open a connection.
    Tcp,
    /// How a server does TLS.
    Tls,
    /// Packets that come back as they were sent (RFC 862).
    Udp,
}

impl ProbeKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Browser,
        Self::Dns,
        Self::Http,
        Self::Icmp,
        Self::Rtp,
        Self::Script,
        Self::Sip,
        Self::Stamp,
        Self::Tcp,
        Self::Tls,
        Self::Udp,
    ];

    /// The kind as it stands in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Icmp => "icmp",
            Self::Rtp => "rtp",
            Self::Script => "script",
            Self::Sip => "sip",
            Self::Stamp => "stamp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }
}

/// One configured target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name in results: 1 to 200 characters, each once a kind of probe.
    pub name: String,
    /// How it is probed.
    pub probe: ProbeKind,
    /// icmp, rtp, sip, stamp, tcp, tls, udp: a host name or address; http: a URL; dns: the name that is asked for.
    pub target: String,
    /// rtp, tcp, udp: the port; tls, stamp, sip: the same, 443, 862 and 5060 (over TLS 5061) if it is not said.
    #[serde(default)]
    pub port: u16,
    /// How often; 0 s: as the plane's own interval.
    #[serde(default, with = "humantime_serde")]
    pub interval: Duration,
    /// Which addresses of the name are used: `any`, `4` or `6`.
    #[serde(default)]
    pub family: Family,
    /// http: the method of the request.
    #[serde(default = "default_method")]
    pub method: String,
    /// http: the version that is spoken: `1.1`, `2`, `3`, or `auto`, what TLS agrees on.
    #[serde(default)]
    pub http_version: HttpVersion,
    /// http: headers of the request. None of them is a secret.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// http: headers whose values stand in files of this node; only of targets of its own configuration.
    #[serde(default)]
    pub header_files: BTreeMap<String, String>,
    /// http: the body of the request: at most 64 KiB, of a test by policy 8 KiB.
    #[serde(default)]
    pub body: String,
    /// http: a file of this node that holds the body, at most 64 KiB; only of targets of its own configuration.
    #[serde(default)]
    pub body_file: String,
    /// http: what the body is, such as `application/json`; empty: it is not said.
    #[serde(default)]
    pub content_type: String,
    /// http: how many redirects are followed: 0 to 10.
    #[serde(default)]
    pub follow_redirects: u8,
    /// http: the client certificate that is shown, one of `planes.active.identities`.
    #[serde(default)]
    pub identity: String,
    /// http: headers of the answer: `name: value`, or `name ~ part of it`.
    #[serde(default)]
    pub expect_header: Vec<String>,
    /// http: a text that is in the answer's body, of which the first MiB is looked at.
    #[serde(default)]
    pub expect_body: String,
    /// http: what stands in the answer's JSON: `$.items[0].state = "up"`.
    #[serde(default)]
    pub expect_json: Vec<String>,
    /// http, sip: which status codes are a success, such as `200`, `2xx` or `200-204`, by commas.
    #[serde(default = "default_statuses")]
    pub expect_status: String,
    /// tls, dns over TLS and QUIC, sip over TLS: the name that is asked for, if it is not the target or the server's address.
    #[serde(default)]
    pub server_name: String,
    /// tls: what else is found out: `none`, `versions`, or `ciphers`.
    #[serde(default)]
    pub tls_scan: TlsScan,
    /// tls: a certificate that ends in fewer days is a failure: 0 to 825.
    #[serde(default)]
    pub expect_days_left: u16,
    /// icmp, udp: bytes of a packet after its headers: 16 to 1,400.
    #[serde(default = "default_payload")]
    pub payload_bytes: u16,
    /// icmp, rtp: the class that packets are marked with (DSCP, RFC 2474 §3): 0 to 63; 0 and 46 if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dscp: Option<u8>,
    /// rtp: the codec as which packets look, and by which it is rated.
    #[serde(default)]
    pub codec: Codec,
    /// rtp: how long the stream is, in seconds: 1 to 30.
    #[serde(default = "default_seconds")]
    pub duration_s: u8,
    /// rtp: a lower score is a failure, such as `3.6`: 1 to 4.5; empty: any is well.
    #[serde(default)]
    pub expect_mos: String,
    /// icmp, stamp, udp: the codec of which it is told how a conversation would sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<Codec>,
    /// sip: how it is asked: `udp`, `tcp` or `tls`.
    #[serde(default)]
    pub sip_transport: SipTransport,
    /// stamp: the key that both ends have, one of `planes.active.stamp_keys`; empty: packets are not authenticated.
    #[serde(default)]
    pub stamp_key: String,
    /// browser: what is done in the page, up to 16; script: the requests, 1 to 16; `target` is the URL that their paths are of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// dns: the type that is asked for, such as `A`, `AAAA`, `MX`.
    #[serde(default = "default_type")]
    pub dns_type: String,
    /// dns: how it is asked: `udp` (and TCP where the answer does not fit), `tcp`, `tls`, `https` or
    /// `quic`.
    #[serde(default)]
    pub dns_transport: DnsTransport,
    /// dns: whether the answer is validated by DNSSEC: `none`, `validate`, or `require`, where one that is not signed
    /// is a failure.
    #[serde(default)]
    pub dnssec: Dnssec,
    /// dns: `address` or `address:port` of the server, over https its URL; empty: the system's first.
    #[serde(default)]
    pub dns_server: String,
}

pub(crate) fn default_method() -> String {
    "GET".into()
}

fn default_payload() -> u16 {
    crate::probes::udp::PAYLOAD_BYTES
}

fn default_seconds() -> u8 {
    crate::probes::rtp::USUAL_SECONDS
}

pub(crate) fn default_statuses() -> String {
    "2xx,3xx".into()
}

fn default_type() -> String {
    "A".into()
}

impl Target {
    pub(crate) fn check(&self) -> Result<(), String> {
        let length = self.name.chars().count();
        if !(1..=200).contains(&length) || self.name.chars().any(char::is_control) {
            return Err("name: 1 to 200 characters, none of them a control character".into());
        }
        if self.target.is_empty() || self.target.len() > 2_048 {
            return Err("target: 1 to 2,048 bytes".into());
        }
        let interval = self.interval;
        let day = Duration::from_secs(86_400);
        if !interval.is_zero() && !(Duration::from_millis(100)..=day).contains(&interval) {
            return Err("interval: it goes from 100 ms to one day".into());
        }
        self.check_fields()?;
        match self.probe {
            ProbeKind::Tcp | ProbeKind::Udp if self.port == 0 => {
                Err(format!("port: a {} target needs one, from 1 to 65535", self.probe.as_str()))
            }
            ProbeKind::Icmp | ProbeKind::Udp
                if !(PAYLOAD.0..=PAYLOAD.1).contains(&self.payload_bytes) =>
            {
                Err(format!("payload_bytes: it goes from {} to {}", PAYLOAD.0, PAYLOAD.1))
            }
            ProbeKind::Icmp | ProbeKind::Rtp if self.dscp > Some(MAX_DSCP) => {
                Err(format!("dscp: it goes from 0 to {MAX_DSCP}"))
            }
            ProbeKind::Http => crate::probes::http::Ask::of(self, None).map(drop),
            ProbeKind::Dns => self.question().and_then(|_| self.name_server()).map(drop),
            ProbeKind::Tls if self.expect_days_left > MAX_DAYS => {
                Err(format!("expect_days_left: it goes from 0 to {MAX_DAYS}"))
            }
            ProbeKind::Tls => self.tls_look().check(),
            ProbeKind::Browser => crate::probes::browser::Visit::of(self).map(drop),
            ProbeKind::Script => crate::probes::script::Script::of(self, None).map(drop),
            ProbeKind::Rtp => crate::probes::rtp::Call::of(self).map(drop),
            ProbeKind::Sip => crate::probes::sip::Options::of(self).map(drop),
            ProbeKind::Icmp | ProbeKind::Stamp | ProbeKind::Tcp | ProbeKind::Udp => Ok(()),
        }
    }

    pub(crate) fn question(&self) -> Result<Question, String> {
        let question = Question::parse(&self.target, &self.dns_type)?;
        if self.dnssec == Dnssec::None { Ok(question) } else { question.validated() }
    }

    pub(crate) fn name_server(&self) -> Result<NameServer, String> {
        NameServer::parse(&self.dns_server, self.dns_transport, &self.server_name)
    }

    pub(crate) fn tls_look(&self) -> TlsLook {
        TlsLook {
            host: self.target.clone(),
            port: if self.port == 0 { 443 } else { self.port },
            name: self.server_name.clone(),
            scan: self.tls_scan,
            days_left: self.expect_days_left,
        }
    }

    /// That nothing is said which another kind of probe alone understands. Older configurations may say what has
    /// always been passed over.
    fn check_fields(&self) -> Result<(), String> {
        let plain = Self::plain(self.probe, &self.target);
        let said = [
            ("method", self.method != plain.method),
            ("http_version", self.http_version != plain.http_version),
            ("headers", !self.headers.is_empty()),
            ("header_files", !self.header_files.is_empty()),
            ("body", !self.body.is_empty()),
            ("body_file", !self.body_file.is_empty()),
            ("content_type", !self.content_type.is_empty()),
            ("follow_redirects", self.follow_redirects != 0),
            ("identity", !self.identity.is_empty()),
            ("expect_header", !self.expect_header.is_empty()),
            ("expect_body", !self.expect_body.is_empty()),
            ("expect_json", !self.expect_json.is_empty()),
            ("server_name", !self.server_name.is_empty()),
            ("tls_scan", self.tls_scan != plain.tls_scan),
            ("dns_transport", self.dns_transport != plain.dns_transport),
            ("dnssec", self.dnssec != plain.dnssec),
            ("steps", !self.steps.is_empty()),
            ("stamp_key", !self.stamp_key.is_empty()),
            ("sip_transport", self.sip_transport != plain.sip_transport),
            ("payload_bytes", self.payload_bytes != plain.payload_bytes),
            ("dscp", self.dscp.is_some()),
            ("codec", self.codec != plain.codec),
            ("duration_s", self.duration_s != plain.duration_s),
            ("expect_mos", !self.expect_mos.is_empty()),
            ("voice", self.voice.is_some()),
            ("expect_days_left", self.expect_days_left != 0),
        ];
        match said.into_iter().find(|(key, said)| *said && !understands(self.probe, key)) {
            Some((key, _)) => Err(format!("{key}: a {} target has none", self.probe.as_str())),
            None => Ok(()),
        }
    }

    /// A target that says nothing else.
    pub fn plain(probe: ProbeKind, target: &str) -> Self {
        Self {
            name: "test".into(),
            probe,
            target: target.to_owned(),
            port: 0,
            interval: Duration::ZERO,
            family: Family::Any,
            method: default_method(),
            http_version: HttpVersion::default(),
            headers: BTreeMap::new(),
            header_files: BTreeMap::new(),
            body: String::new(),
            body_file: String::new(),
            content_type: String::new(),
            follow_redirects: 0,
            identity: String::new(),
            expect_header: Vec::new(),
            expect_body: String::new(),
            expect_json: Vec::new(),
            server_name: String::new(),
            tls_scan: TlsScan::default(),
            expect_days_left: 0,
            payload_bytes: default_payload(),
            dscp: None,
            codec: Codec::default(),
            duration_s: default_seconds(),
            expect_mos: String::new(),
            voice: None,
            expect_status: default_statuses(),
            dns_type: default_type(),
            dns_server: String::new(),
            dns_transport: DnsTransport::default(),
            dnssec: Dnssec::default(),
            sip_transport: SipTransport::default(),
            steps: Vec::new(),
            stamp_key: String::new(),
        }
    }
}
