//! Which part of the way is impaired: from the machine outwards, the closest impaired part is to blame.
//!
//! Pure: the same sample gives the same judgement anywhere. A part that was not measured is never fine and never to
//! blame; it makes what lies behind it less sure.

use serde::{Deserialize, Serialize};

use crate::{CheckResult, Echo, Measured, Sample, Wifi};

/// What is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    /// Nothing is impaired.
    None,
    /// The Wi-Fi link.
    Wifi,
    /// The local network: the gateway, or a resolver in it.
    Local,
    /// The provider: from the gateway to the first public hop.
    Isp,
    /// The network behind the provider's edge.
    Network,
    /// A target by itself.
    Target,
    /// It cannot be said: too little was measured.
    Unknown,
}

impl Attribution {
    /// As it stands in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Wifi => "wifi",
            Self::Local => "local",
            Self::Isp => "isp",
            Self::Network => "network",
            Self::Target => "target",
            Self::Unknown => "unknown",
        }
    }
}

/// A part of the way, from the machine outwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The Wi-Fi link.
    Wifi,
    /// The gateway and the local network.
    Gateway,
    /// From the gateway to the provider's edge.
    Isp,
    /// What is behind it, and the targets.
    Target,
}

/// How a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// It was measured, and nothing is wrong.
    Fine,
    /// It was measured, and is worse than it may be.
    Impaired,
    /// It was not measured. That is not fine.
    NotMeasured,
    /// It is not there: no wireless interface, or nothing to check.
    Absent,
}

/// A part of the way and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Which.
    pub part: Part,
    /// How it stands.
    pub state: LayerState,
    /// How bad it is: 0 if it is not impaired, else 0.5 (just at a threshold) to 1.
    pub score: f64,
    /// What was measured, for people.
    pub text: String,
}

/// What a sample comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// What is to blame.
    pub attribution: Attribution,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
    /// What speaks for it.
    pub evidence: Vec<String>,
    /// The whole way, from the machine outwards.
    pub layers: Vec<Layer>,
}

/// What lies behind a part that was not measured is so much less sure.
const LESS_SURE: f64 = 0.7;

/// What a sample comes to.
pub fn judge(sample: &Sample) -> Judgement {
    let targets = Targets::of(sample);
    let layers =
        vec![wifi(sample), gateway(sample, &targets), isp(sample, &targets), targets.layer()];
    let blamed = layers.iter().position(|layer| layer.state == LayerState::Impaired);
    let (attribution, confidence) = match blamed {
        Some(at) => {
            let unseen = layers[..at].iter().any(|layer| layer.state == LayerState::NotMeasured);
            let attribution = match layers[at].part {
                Part::Wifi => Attribution::Wifi,
                Part::Gateway => Attribution::Local,
                Part::Isp => Attribution::Isp,
                Part::Target if targets.is_network() => Attribution::Network,
                Part::Target => Attribution::Target,
            };
            // One target alone does not tell whether it is the target or all that lies behind the edge.
            let alone = layers[at].part == Part::Target && targets.measured == 1;
            let less = if unseen || alone { LESS_SURE } else { 1.0 };
            (attribution, layers[at].score * less)
        }
        None => {
            let unseen =
                layers.iter().filter(|layer| layer.state == LayerState::NotMeasured).count();
            match (unseen, targets.measured) {
                (0, _) => (Attribution::None, 1.0),
                // What was not measured carries what was checked.
                (_, 1..) => (Attribution::None, LESS_SURE),
                (_, 0) => (Attribution::Unknown, 0.0),
            }
        }
    };
    let wanted = if blamed.is_some() { LayerState::Impaired } else { LayerState::NotMeasured };
    let told = layers.iter().filter(|layer| layer.state == wanted);
    let evidence = told.map(|layer| layer.text.clone()).collect();
    Judgement { attribution, confidence, evidence, layers }
}

fn layer(part: Part, state: LayerState, score: f64, text: impl Into<String>) -> Layer {
    Layer { part, state, score, text: text.into() }
}

/// 0.5 at a threshold, 1 when it is exceeded by `span` or more.
fn graded(over: f64, span: f64) -> f64 {
    (0.5 + 0.5 * over / span).clamp(0.5, 1.0)
}

fn wifi(sample: &Sample) -> Layer {
    use LayerState::{Absent, Fine, Impaired, NotMeasured};
    let link = match &sample.wifi {
        Wifi::NoWifi => return layer(Part::Wifi, Absent, 0.0, "no wi-fi"),
        Wifi::NotConnected => return layer(Part::Wifi, Absent, 0.0, "wi-fi is not connected"),
        Wifi::NotMeasured(why) => {
            return layer(Part::Wifi, NotMeasured, 0.0, format!("wi-fi was not measured: {why}"));
        }
        Wifi::Link(link) => link,
    };
    if !link.default_route {
        let text = "the default route does not go over wi-fi";
        return layer(Part::Wifi, Absent, 0.0, text);
    }
    let Some(dbm) = link.signal_dbm else {
        return layer(Part::Wifi, NotMeasured, 0.0, "the driver tells no signal strength");
    };
    let limit = sample.thresholds.wifi_signal_dbm;
    if dbm <= limit {
        let text = format!("the signal of {} is {dbm} dBm, {limit} dBm or less is weak", link.ssid);
        return layer(Part::Wifi, Impaired, graded(f64::from(limit) - f64::from(dbm), 15.0), text);
    }
    layer(Part::Wifi, Fine, 0.0, format!("the signal of {} is {dbm} dBm", link.ssid))
}

/// How bad an echo is: none if it is fine.
fn echo_score(echo: &Echo, rtt_limit_ms: f64, loss_limit: f64) -> Option<f64> {
    let loss = echo.loss().filter(|loss| *loss >= loss_limit);
    let loss = loss.map(|loss| graded(loss - loss_limit, 0.2));
    let slow = echo.rtt_ms.filter(|ms| *ms >= rtt_limit_ms);
    let slow = slow.map(|ms| graded(ms - rtt_limit_ms, rtt_limit_ms));
    loss.into_iter().chain(slow).reduce(f64::max)
}

fn echo_text(echo: &Echo) -> String {
    let rtt = echo.rtt_ms.map_or_else(String::new, |ms| format!(" in {ms:.1} ms"));
    format!("{} of {} echoes come back{rtt}", echo.received, echo.sent)
}

fn gateway(sample: &Sample, targets: &Targets) -> Layer {
    use LayerState::{Fine, Impaired, NotMeasured};
    let of = &sample.thresholds;
    let gateways = match &sample.gateways {
        Measured::NotMeasured(why) => {
            let text = format!("the gateways were not looked up: {why}");
            return layer(Part::Gateway, NotMeasured, 0.0, text);
        }
        Measured::Measured(gateways) => gateways,
    };
    if gateways.is_empty() {
        // A machine may reach all that is checked by other routes.
        return if targets.works() {
            layer(Part::Gateway, NotMeasured, 0.0, "there is no default route")
        } else {
            layer(Part::Gateway, Impaired, 1.0, "there is no default route")
        };
    }
    if let Some(text) = dead_resolvers(sample, true) {
        return layer(Part::Gateway, Impaired, 1.0, text);
    }
    let goes_on = targets.works() || edge_of(sample).is_some_and(|echo| echo.received > 0);
    let mut worst: Option<(f64, String)> = None;
    let mut fine = None;
    let mut unsaid = "no gateway has an address that can be asked".to_owned();
    for gateway in gateways {
        let name = gateway.address.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let echo = match &gateway.echo {
            Measured::Measured(echo) => echo,
            Measured::NotMeasured(why) => {
                unsaid = format!("the gateway {name} was not measured: {why}");
                continue;
            }
        };
        let text = format!("gateway {name} ({}): {}", gateway.interface, echo_text(echo));
        if echo.received == 0 && goes_on {
            unsaid = format!("the gateway {name} answers no echo, and carries what lies behind it");
            continue;
        }
        let score = if echo.received == 0 {
            Some(1.0)
        } else {
            echo_score(echo, of.gateway_rtt_ms, of.gateway_loss)
        };
        match score {
            Some(score) if worst.as_ref().is_none_or(|(known, _)| score > *known) => {
                worst = Some((score, text));
            }
            Some(_) => {}
            None => fine = Some(text),
        }
    }
    match (worst, fine) {
        (Some((score, text)), _) => layer(Part::Gateway, Impaired, score, text),
        (None, Some(text)) => layer(Part::Gateway, Fine, 0.0, text),
        (None, None) => layer(Part::Gateway, NotMeasured, 0.0, unsaid),
    }
}

/// What is said if all resolvers that stand in the local network, or all others, do not answer, and no resolver does.
fn dead_resolvers(sample: &Sample, local: bool) -> Option<String> {
    let resolvers = sample.resolvers.value()?;
    let failed = |answer: &Measured<CheckResult>| answer.value().map(|result| !result.success);
    let dead = resolvers.iter().all(|one| failed(&one.answer) == Some(true));
    let first = resolvers.first().filter(|first| dead && first.local == local)?;
    Some(format!("no resolver answers, {} first among {}", first.address, resolvers.len()))
}

fn edge_of(sample: &Sample) -> Option<&Echo> {
    let way = sample.last_mile.value().filter(|way| way.edge_found)?;
    way.edge.value()
}

fn isp(sample: &Sample, targets: &Targets) -> Layer {
    use LayerState::{Fine, Impaired, NotMeasured};
    let unsaid = |text: String| layer(Part::Isp, NotMeasured, 0.0, text);
    let way = match &sample.last_mile {
        Measured::NotMeasured(why) => {
            return unsaid(format!("the last mile was not traced: {why}"));
        }
        Measured::Measured(way) => way,
    };
    let of = &sample.thresholds;
    let gateway_answers = sample.gateways.value().is_some_and(|gateways| {
        gateways.iter().any(|one| one.echo.value().is_some_and(|echo| echo.received > 0))
    });
    if !way.edge_found {
        let nothing = targets.measured > 0 && !targets.works() && targets.unreachable();
        if gateway_answers && nothing {
            let text = "the gateway answers, and nothing behind it: no public hop, no target";
            return layer(Part::Isp, Impaired, 0.8, text);
        }
        return unsaid("no public hop answered: the provider's edge is not known".into());
    }
    let edge = way.hops.last().and_then(|hop| hop.address.as_ref());
    let name = edge.map_or_else(|| "-".to_owned(), ToString::to_string);
    let traced = way.hops.last().and_then(|hop| hop.rtt_ms);
    match &way.edge {
        Measured::Measured(echo) if echo.received > 0 => {
            let text = format!("edge {name}: {}", echo_text(echo));
            match echo_score(echo, of.isp_rtt_ms, of.isp_loss) {
                Some(score) => layer(Part::Isp, Impaired, score, text),
                None => layer(Part::Isp, Fine, 0.0, text),
            }
        }
        // Many routers answer traces and no echoes: what the trace took is known, what is lost is not.
        Measured::Measured(_) | Measured::NotMeasured(_) => match traced {
            Some(ms) if ms >= of.isp_rtt_ms => {
                let text = format!("edge {name}: {ms:.1} ms by the trace; it answers no echo");
                layer(Part::Isp, Impaired, graded(ms - of.isp_rtt_ms, of.isp_rtt_ms), text)
            }
            _ => unsaid(format!("the edge {name} answers no echo: its loss is not known")),
        },
    }
}

/// What was checked behind the edge.
struct Targets {
    measured: usize,
    impaired: usize,
    failed: usize,
    score: f64,
    text: String,
    /// There is something to check, and nothing of it was measured.
    unsaid: Option<String>,
    resolvers: Option<String>,
}

impl Targets {
    fn of(sample: &Sample) -> Self {
        let of = &sample.thresholds;
        let mut targets = Self {
            measured: 0,
            impaired: 0,
            failed: 0,
            score: 0.0,
            text: String::new(),
            unsaid: None,
            resolvers: dead_resolvers(sample, false),
        };
        for check in &sample.checks {
            let result = match &check.result {
                Measured::Measured(result) => result,
                Measured::NotMeasured(why) => {
                    targets.unsaid = Some(format!("{} was not checked: {why}", check.name));
                    continue;
                }
            };
            let slow = result.duration_ms.filter(|ms| *ms >= of.check_ms);
            let (score, text) = if !result.success {
                let error = result.error.as_ref().map_or_else(String::new, |e| format!(": {e}"));
                (Some(1.0), format!("{} fails{error}", check.name))
            } else {
                let text = result.duration_ms.map_or_else(String::new, |ms| format!(" {ms:.0} ms"));
                (
                    slow.map(|ms| graded(ms - of.check_ms, of.check_ms)),
                    format!("{}{text}", check.name),
                )
            };
            targets.add(score, text, !result.success);
        }
        for session in sample.sessions.value().into_iter().flatten() {
            let Some(figures) = session.figures.value() else { continue };
            let slow = (figures.rtt_ms >= of.check_ms)
                .then(|| graded(figures.rtt_ms - of.check_ms, of.check_ms));
            let lost = figures.loss().filter(|loss| *loss >= of.session_loss);
            let lost = lost.map(|loss| graded(loss - of.session_loss, 0.2));
            let again = figures
                .loss()
                .map_or_else(String::new, |loss| format!(", {:.1} % sent again", loss * 100.0));
            let text = format!("tcp to {}: {:.1} ms{again}", session.target, figures.rtt_ms);
            targets.add(slow.into_iter().chain(lost).reduce(f64::max), text, false);
        }
        targets
    }

    fn add(&mut self, score: Option<f64>, text: String, failed: bool) {
        self.measured += 1;
        self.failed += usize::from(failed);
        self.impaired += usize::from(score.is_some());
        // The worst is told, or the first that is fine.
        if self.text.is_empty() || score.is_some_and(|score| score > self.score) {
            self.text = text;
        }
        self.score = self.score.max(score.unwrap_or(0.0));
    }

    /// Something that was checked works.
    const fn works(&self) -> bool {
        self.measured > self.failed
    }

    /// All that was checked fails.
    const fn unreachable(&self) -> bool {
        self.measured > 0 && self.failed == self.measured
    }

    /// Several targets, and all of them impaired: what they share is to blame.
    fn is_network(&self) -> bool {
        self.resolvers.is_some() || (self.measured > 1 && self.impaired == self.measured)
    }

    fn layer(&self) -> Layer {
        use LayerState::{Absent, Fine, Impaired, NotMeasured};
        if let Some(text) = &self.resolvers {
            return layer(Part::Target, Impaired, 1.0, text.clone());
        }
        if self.impaired > 0 {
            let text = format!("{} of {} impaired; {}", self.impaired, self.measured, self.text);
            return layer(Part::Target, Impaired, self.score, text);
        }
        match (&self.unsaid, self.measured) {
            (Some(text), _) => layer(Part::Target, NotMeasured, 0.0, text.clone()),
            (None, 0) => layer(Part::Target, Absent, 0.0, "nothing is checked"),
            (None, n) => layer(Part::Target, Fine, 0.0, format!("{n} checked; {}", self.text)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
