//! One run: a browser of its own, the steps, and what is seen at the end.

use std::time::{Duration, Instant};

use crate::page::{AGAIN, Page};
use crate::process::{Browser, Running};
use crate::proxy::{Dialer, Proxy};
use crate::report::{Picture, Report, StepReport};
use crate::step::{KEYS, Step, Text, focus, middle};

/// Most bytes that a run may bring in.
pub const MAX_BYTES: u64 = 64 << 20;
/// What of a run's time is for looking at the page once more at its end.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Runs `steps` in a browser of their own, and ends it within `limit`.
pub async fn run(
    browser: &Browser,
    steps: &[Step],
    limit: Duration,
    dialer: &dyn Dialer,
) -> Report {
    let begin = Instant::now();
    let mut report = Report::default();
    let proxy = match Proxy::new(dialer).await.and_then(|proxy| Ok((proxy.address()?, proxy))) {
        Ok(proxy) => proxy,
        Err(error) => return failed(report, begin, format!("no proxy for the browser: {error}")),
    };
    let (address, proxy) = proxy;
    let (mut running, calls, events) = match Running::start(browser, address) {
        Ok(started) => started,
        Err(why) => {
            report.off = true;
            return failed(report, begin, format!("off: {why}"));
        }
    };
    let mut page = Page::new(calls, events, proxy.credential());
    let until = begin + limit.saturating_sub((limit / 5).min(LAST_LOOK));
    let mut why = tokio::select! {
        why = drive(&mut page, steps, until, &proxy, &mut report) => why,
        why = running.too_large(browser.memory) => Some(why),
        never = proxy.serve() => match never {},
    };
    if page.gone.is_some() && report.steps.is_empty() {
        let ended = running.why_it_ended().await;
        report.off = ended.starts_with("off:");
        why = Some(ended);
    }
    running.end().await;
    finish(&mut report, page, &proxy, steps);
    report.error = why.map(|why| hidden(why, steps));
    report.duration_ms = begin.elapsed().as_secs_f64() * 1_000.0;
    report
}

fn failed(mut report: Report, begin: Instant, why: String) -> Report {
    report.error = Some(why);
    report.duration_ms = begin.elapsed().as_secs_f64() * 1_000.0;
    report
}

/// Does all steps and looks once more; why it failed, if it did.
async fn drive(
    page: &mut Page,
    steps: &[Step],
    until: Instant,
    proxy: &Proxy<'_>,
    report: &mut Report,
) -> Option<String> {
    match tokio::time::timeout(left(until), page.begin()).await {
        Err(_) => return Some("the browser did not open a page in time".into()),
        Ok(Err(why)) => return Some(why),
        Ok(Ok(())) => {}
    }
    let mut error = None;
    for step in steps {
        let begin = Instant::now();
        let time = left(until).min(step.timeout);
        let mut missing = String::new();
        let result = tokio::time::timeout(time, one(page, step, &mut missing)).await;
        let mut why = match result {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) if missing.is_empty() => Some("it did not end in its time".into()),
            Err(_) => Some(format!("{missing} within {:.1} s", time.as_secs_f64())),
        };
        if why.is_some()
            && step.open.is_some()
            && page.status.is_none_or(|status| status == 403)
            && let Some(refusal) = proxy.refusal(&page.host)
        {
            report.refused = refusal.refused;
            why = Some(refusal.why);
        }
        if page.requests.bytes > MAX_BYTES {
            why.get_or_insert(format!("the page is larger than {} MiB", MAX_BYTES >> 20));
        }
        let why = why.map(|why| hidden(why, steps));
        report.steps.push(StepReport {
            name: step.name.clone(),
            duration_ms: begin.elapsed().as_secs_f64() * 1_000.0,
            error: why.clone(),
        });
        if let Some(why) = why {
            report.failed_step = Some(step.name.clone());
            error = Some(format!("step {}: {why}", step.name));
            break;
        }
    }
    // Drawing comes first: what is painted is measured only then.
    match tokio::time::timeout(LAST_LOOK / 3, page.screenshot()).await {
        Ok(Ok(picture)) => report.screenshot = Some(Picture(picture)),
        Ok(Err(why)) => report.no_screenshot = Some(why),
        Err(_) => report.no_screenshot = Some("the page could not be drawn in time".into()),
    }
    // A document that was drawn a moment ago is measured a moment later.
    let measured = async {
        while let Ok(vitals) = page.vitals().await {
            report.vitals = vitals;
            if vitals.lcp_ms.is_some() {
                break;
            }
            page.rest(AGAIN).await;
        }
    };
    // What is not measured by then is absent.
    let _ = tokio::time::timeout(LAST_LOOK / 3, measured).await;
    error
}

/// Does one step. `missing` says what it waits for.
async fn one(page: &mut Page, step: &Step, missing: &mut String) -> Result<(), String> {
    if let Some(url) = &step.open {
        *missing = "the page was not loaded".into();
        let opened = page.open(url).await;
        let good =
            |status: u16| step.statuses.iter().any(|(from, to)| (*from..=*to).contains(&status));
        // An answer without a body that is an error is no document for the browser.
        match page.status {
            Some(status) if !good(status) => return Err(format!("the status is {status}")),
            _ => opened?,
        }
    }
    if let Some(selector) = &step.click {
        *missing = format!("no element {selector} came that can be clicked");
        let place = once_there(page, &middle(selector)).await?;
        let at = |n: usize| place[n].as_f64().unwrap_or_default();
        page.click(at(0), at(1)).await?;
    }
    if let Some((selector, text)) = &step.typed {
        *missing = format!("no element {selector} came that can be typed into");
        once_there(page, &focus(selector, matches!(text, Text::Secret(_)))).await?;
        page.insert(text.text()).await?;
    }
    if let Some(key) = &step.press {
        let code = KEYS.iter().find(|(name, _)| name == key).map_or(0, |(_, code)| *code);
        *missing = "the key was not taken".into();
        page.press(key, code).await?;
    }
    for expect in &step.expect {
        *missing = expect.missing();
        once_there(page, &expect.script()).await?;
    }
    Ok(())
}

/// What a script gives, once that is something: documents come and go meanwhile.
async fn once_there(page: &mut Page, script: &str) -> Result<serde_json::Value, String> {
    loop {
        match page.evaluate(script).await {
            Ok(found) if !found.is_null() && found != false => return Ok(found),
            Err(why) if why.contains("is not a valid selector") => return Err(why),
            Err(why) if page.gone.is_some() => return Err(why),
            _ => page.rest(AGAIN).await,
        }
    }
}

/// Takes over what the page came to, with the reasons of the proxy.
fn finish(report: &mut Report, page: Page, proxy: &Proxy<'_>, steps: &[Step]) {
    report.address = proxy.first();
    report.status = page.status;
    report.bytes = page.requests.bytes;
    report.requests_left_out = page.requests.left_out;
    report.console_left_out = page.console_left_out;
    report.console = page.console.into_iter().map(|text| hidden(text, steps)).collect();
    let hosts = page.requests.hosts;
    for (mut item, host) in page.requests.items.into_iter().zip(hosts) {
        if (item.failed.is_some() || item.status == Some(403))
            && let Some(refusal) = proxy.refusal(&host)
        {
            item.blocked = Some(refusal.why);
        }
        item.url = hidden(item.url, steps);
        report.requests.push(item);
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// A text without the secrets that were typed.
fn hidden(mut text: String, steps: &[Step]) -> String {
    for step in steps {
        if let Some((_, Text::Secret(secret))) = &step.typed
            && secret.len() >= 4
        {
            text = text.replace(secret.as_str(), "{{secret}}");
        }
    }
    text
}
