//! Checks in a real browser: the steps of a target as `holm-browser` takes them, past the same guard as any probe.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holm_browser::{Address, Browser, Dialer, Expect, KEYS, Refusal, Report, Text};
use tokio::sync::Semaphore;

use super::{Dial, files, http};
use crate::budget::LeftOut;
use crate::config::Target;
use crate::outcome::Outcome;
use crate::step::{MAX_STEPS, Step};
use crate::{Config, Family};

/// How long a run may take that does not say.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// How long one step may take.
pub(crate) const STEP: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(300));
/// How long a step may take that does not say.
const USUAL_STEP: Duration = Duration::from_secs(15);
/// Most memory of a browser with all its processes, in bytes.
const MEMORY: u64 = 1 << 30;
/// One browser at a time at a node: it is the largest thing that a node starts.
static PLACE: Semaphore = Semaphore::const_new(1);

/// The columns of a step, by its number.
macro_rules! columns {
    ($end:literal) => {
        [
            concat!("browser.step.1.", $end),
            concat!("browser.step.2.", $end),
            concat!("browser.step.3.", $end),
            concat!("browser.step.4.", $end),
            concat!("browser.step.5.", $end),
            concat!("browser.step.6.", $end),
            concat!("browser.step.7.", $end),
            concat!("browser.step.8.", $end),
            concat!("browser.step.9.", $end),
            concat!("browser.step.10.", $end),
            concat!("browser.step.11.", $end),
            concat!("browser.step.12.", $end),
            concat!("browser.step.13.", $end),
            concat!("browser.step.14.", $end),
            concat!("browser.step.15.", $end),
            concat!("browser.step.16.", $end),
        ]
    };
}
const NAME: [&str; MAX_STEPS] = columns!("name");
const DURATION: [&str; MAX_STEPS] = columns!("duration_ms");

/// The browser that is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct With {
    program: String,
    sandbox: bool,
}

impl With {
    pub(crate) fn of(config: &Config) -> Self {
        Self { program: config.browser.clone(), sandbox: config.browser_sandbox }
    }

    fn browser(&self) -> Result<Browser, String> {
        let program = holm_browser::find(&self.program, std::env::var_os("PATH").as_deref())?;
        Ok(Browser { program, sandbox: self.sandbox, memory: MEMORY })
    }

    /// Whether there is one, for people.
    pub(crate) fn says(&self) -> String {
        match self.browser() {
            Ok(_) if self.sandbox => "browser".into(),
            Ok(_) => "browser (without its sandbox)".into(),
            Err(why) => format!("browser {why}"),
        }
    }
}

/// What is done in the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visit {
    steps: Vec<holm_browser::Step>,
    /// Of each step the file that holds what is typed.
    files: Vec<Option<PathBuf>>,
}

impl Visit {
    /// What a target says.
    pub(crate) fn of(target: &Target) -> Result<Self, String> {
        http::Ask::get(&target.target, "200")?;
        if target.steps.len() > MAX_STEPS {
            return Err(format!("steps: there are at most {MAX_STEPS}"));
        }
        let open = [Step::plain("open", "")];
        let said = if target.steps.is_empty() { &open[..] } else { &target.steps };
        let mut visit = Self { steps: Vec::new(), files: Vec::new() };
        for (number, step) in said.iter().enumerate() {
            let named = |why: String| format!("steps[{number}]: {why}");
            let letters = step.name.chars().count();
            if !(1..=63).contains(&letters) || step.name.chars().any(char::is_control) {
                return Err(named("name: it has 1 to 63 characters".into()));
            }
            if said[..number].iter().any(|other| other.name == step.name) {
                return Err(named(format!("name: there are two steps {}", step.name)));
            }
            let mut read = one(step, &target.target).map_err(named)?;
            // The first step begins where the target is, unless it says where else.
            if number == 0 && read.open.is_none() {
                read.open = Some(target.target.clone());
            }
            visit.steps.push(read);
            visit.files.push((!step.type_file.is_empty()).then(|| step.type_file.clone().into()));
        }
        Ok(visit)
    }
}

fn one(step: &Step, target: &str) -> Result<holm_browser::Step, String> {
    if let Some(key) = step.foreign(true) {
        return Err(format!("{key}: a step of a script has one, a browser's has none"));
    }
    let said = |text: &String| (!text.is_empty()).then(|| text.clone());
    let open = match said(&step.url) {
        None => None,
        Some(url) => {
            let url = http::joined(target, &url).and_then(|url| {
                http::Ask::get(&url, "200")?;
                Ok(url)
            });
            Some(url.map_err(|why| format!("url: {}", why.trim_start_matches("target ")))?)
        }
    };
    let types = !step.typed.is_empty() || !step.type_file.is_empty();
    if types == step.into.is_empty() {
        return Err(
            "into: a text to type (type) and the element that it is typed into (into) go together"
                .into(),
        );
    }
    if !step.typed.is_empty() && !step.type_file.is_empty() {
        return Err("type_file: the text is said in type or stands in a file, not both".into());
    }
    if !step.press.is_empty() && !KEYS.iter().any(|(name, _)| *name == step.press) {
        let keys = KEYS.map(|(name, _)| name).join(", ");
        return Err(format!("press: {} is no key: {keys} are", step.press));
    }
    let timeout = step.timeout.unwrap_or(USUAL_STEP);
    if !(STEP.0..=STEP.1).contains(&timeout) {
        return Err("timeout: it goes from 100 ms to 5 min".into());
    }
    let statuses = http::Statuses::parse(&step.expect_status)?;
    let expect = [
        said(&step.expect_element).map(Expect::Element),
        said(&step.expect_text).map(Expect::Text),
        said(&step.expect_title).map(Expect::Title),
        said(&step.expect_url).map(Expect::Url),
    ];
    Ok(holm_browser::Step {
        name: step.name.clone(),
        open,
        statuses: (100..600).filter(|code| statuses.has(*code)).map(|code| (code, code)).collect(),
        click: said(&step.click),
        typed: types.then(|| (step.into.clone(), Text::Plain(step.typed.clone()))),
        press: said(&step.press),
        expect: expect.into_iter().flatten().collect(),
        timeout,
    })
}

/// Each connection of the browser comes by here.
struct Dialling<'a> {
    dial: &'a Dial<'a>,
    family: Family,
    until: Instant,
}

impl Dialer for Dialling<'_> {
    fn address<'a>(&'a self, host: &'a str) -> Address<'a> {
        Box::pin(async move {
            let mut outcome = Outcome::default();
            let found: Result<IpAddr, String> = self
                .dial
                .resolve(host, self.family, self.until, "browser.dns_ms", &mut outcome)
                .await;
            found.map_err(|why| Refusal { why, refused: outcome.refused })
        })
    }
}

/// Runs the steps in a browser of their own. Ends within `limit`.
pub(crate) async fn probe(
    visit: &Visit,
    family: Family,
    with: &With,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let begin = Instant::now();
    let mut outcome = Outcome::default();
    let browser = match with.browser() {
        Ok(browser) => browser,
        Err(why) => return off(outcome, why),
    };
    let mut steps = visit.steps.clone();
    for (step, file) in steps.iter_mut().zip(&visit.files) {
        let (Some((_, text)), Some(file)) = (&mut step.typed, file) else { continue };
        match secret(file).await {
            Ok(secret) => *text = Text::Secret(secret),
            Err(why) => return outcome.failed(format!("step {}: type_file: {why}", step.name)),
        }
    }
    let Ok(Ok(_place)) = tokio::time::timeout(limit / 2, PLACE.acquire()).await else {
        outcome.left_out = Some(LeftOut::Browser);
        return outcome.failed(crate::why_text(LeftOut::Browser));
    };
    let left = limit.saturating_sub(begin.elapsed());
    let dialling = Dialling { dial, family, until: begin + limit };
    let report = holm_browser::run(&browser, &steps, left, &dialling).await;
    if report.off {
        return off(outcome, report.error.unwrap_or_default());
    }
    told(&mut outcome, &report);
    let error = report.error.clone();
    outcome.browser = Some(Box::new(report));
    match error {
        None => outcome,
        Some(why) => outcome.failed(why),
    }
}

/// Nothing was sent, and nothing is known of the target.
fn off(mut outcome: Outcome, why: String) -> Outcome {
    (outcome.off, outcome.refused) = (true, true);
    outcome.failed(why)
}

async fn secret(file: &Path) -> Result<String, String> {
    let text = String::from_utf8(files::read(file).await?);
    let text = text.map_err(|_| format!("{}: it is no text", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// What of a report stands in the row.
fn told(outcome: &mut Outcome, report: &Report) {
    outcome.address = report.address;
    outcome.refused = report.refused;
    outcome.more_bytes = report.bytes as f64;
    if report.error.is_none() {
        outcome.duration_ms = Some(report.duration_ms);
    }
    let done = report.steps.iter().filter(|step| step.error.is_none()).count();
    let failed = report.requests.iter().filter(|one| one.failed.is_some()).count();
    let blocked = report.requests.iter().filter(|one| one.blocked.is_some()).count();
    let requests = report.requests.len() as u64 + report.requests_left_out;
    let console = report.console.len() as u64 + report.console_left_out;
    for (column, value) in [
        ("browser.steps", report.steps.len() as f64),
        ("browser.done", done as f64),
        ("browser.requests", requests as f64),
        ("browser.requests.failed", failed as f64),
        ("browser.requests.blocked", blocked as f64),
        ("browser.bytes", report.bytes as f64),
        ("browser.console_errors", console as f64),
    ] {
        outcome.metric(column, value);
    }
    let vitals = report.vitals;
    for (column, value) in [
        ("browser.status_code", report.status.map(f64::from)),
        ("browser.ttfb_ms", vitals.ttfb_ms),
        ("browser.fcp_ms", vitals.fcp_ms),
        ("browser.lcp_ms", vitals.lcp_ms),
        ("browser.cls", vitals.cls),
        ("browser.tbt_ms", vitals.tbt_ms),
        ("browser.inp_ms", vitals.inp_ms),
    ] {
        if let Some(value) = value {
            outcome.metric(column, value);
        }
    }
    for (number, step) in report.steps.iter().take(MAX_STEPS).enumerate() {
        outcome.attribute(NAME[number], step.name.clone());
        outcome.metric(DURATION[number], step.duration_ms);
    }
    if let Some(step) = &report.failed_step {
        outcome.attribute("browser.failed_step", step.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeKind;

    fn of(steps: Vec<Step>) -> Result<Visit, String> {
        Visit::of(&Target { steps, ..Target::plain(ProbeKind::Browser, "https://a.example/shop") })
    }

    #[test]
    fn a_target_without_steps_is_opened_and_paths_are_its_own() {
        let visit = of(Vec::new()).expect("good");
        assert_eq!(visit.steps[0].open.as_deref(), Some("https://a.example/shop"));
        let click = Step { click: "#a".into(), ..Step::plain("click", "") };
        let visit = of(vec![click, Step::plain("next", "/next")]).expect("good");
        assert_eq!(visit.steps[0].open.as_deref(), Some("https://a.example/shop"));
        assert_eq!(visit.steps[1].open.as_deref(), Some("https://a.example/next"));
        assert!(visit.steps[1].statuses.contains(&(302, 302)));
    }

    #[test]
    fn what_is_none_is_refused_with_its_place() {
        let plain = |name: &str| Step::plain(name, "");
        for (step, said) in [
            (plain(""), "steps[0]: name"),
            (Step::plain("a", "file:///etc/passwd"), "steps[0]: url: "),
            (Step::plain("a", "chrome://version"), "steps[0]: url: "),
            (Step { typed: "x".into(), ..plain("a") }, "steps[0]: into: a text"),
            (Step { press: "F25".into(), ..plain("a") }, "steps[0]: press: F25 is no key"),
            (Step { body: "x".into(), ..plain("a") }, "steps[0]: body: a step of a script"),
            (Step { expect_status: "9xx".into(), ..plain("a") }, "steps[0]: expect_status"),
            (Step { timeout: Some(Duration::ZERO), ..plain("a") }, "steps[0]: timeout"),
        ] {
            let why = of(vec![step]).expect_err(said);
            assert!(why.starts_with(said), "{why}");
        }
        assert!(of(vec![plain("a"), plain("a")]).expect_err("twice").contains("there are two"));
        let many = (0..=MAX_STEPS).map(|n| plain(&n.to_string())).collect();
        assert!(of(many).expect_err("too many").starts_with("steps: there are at most"));
    }

    #[tokio::test]
    async fn without_a_browser_it_says_so_and_nothing_is_known() {
        let with = With { program: "/nowhere/chromium".into(), sandbox: true };
        assert!(with.says().starts_with("browser off: no browser"));
        let resolver = super::super::Resolver::default();
        let dial = Dial::open(&resolver);
        let visit = of(Vec::new()).expect("good");
        let outcome = probe(&visit, Family::Any, &with, Duration::from_secs(5), &dial).await;
        assert!(outcome.off && outcome.refused);
        assert!(outcome.error.is_some_and(|why| why.starts_with("off: no browser")));
    }
}
