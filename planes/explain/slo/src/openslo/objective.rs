//! Windows, methods of budgeting and objectives.

use holm_model::Millis;

use super::MAX_NAME;
use crate::definition::{Budgeting, Indicator, Objective};
use crate::window::{Calendar, DAY_MS, HOUR_MS, MINUTE_MS, Step, Window, parse_start};
use holm_policy::{Fields, Operator, Problems};

/// Longest and shortest window, in milliseconds: ledgers are kept for 400 days.
const LONGEST_MS: u64 = 366 * DAY_MS;
const SHORTEST_MS: u64 = HOUR_MS;
const MAX_OBJECTIVES: usize = 16;

/// A length of time as OpenSLO writes it: a number and one of m h d w M Q Y.
fn duration(text: &str) -> Option<(u32, char)> {
    let unit = text.chars().last()?;
    let number = text[..text.len() - unit.len_utf8()].parse::<u32>().ok()?;
    let right = (1..=100_000).contains(&number) && text.starts_with(|c: char| c.is_ascii_digit());
    (right && "mhdwMQY".contains(unit)).then_some((number, unit))
}

fn fixed_ms(number: u32, unit: char) -> Option<u64> {
    let unit_ms = match unit {
        'm' => MINUTE_MS,
        'h' => HOUR_MS,
        'd' => DAY_MS,
        'w' => 7 * DAY_MS,
        _ => return None,
    };
    Some(u64::from(number) * unit_ms)
}

/// The window, and the finest time that it needs in minutes.
pub(super) fn window(
    spec: &mut Fields<'_>,
    now: Millis,
    problems: &mut Problems,
) -> Option<(Window, u32)> {
    let found = spec.list("timeWindow", problems);
    let at = spec.at("timeWindow");
    let Some((items, mark)) = found else {
        problems.add(&at, spec.mark, "it is missing");
        return None;
    };
    let [item] = items else {
        problems.add(&at, mark, "it has exactly one window");
        return None;
    };
    let mut fields = Fields::of(item, &format!("{at}[0]"), problems)?;
    let length = fields.needed_text("duration", 20, problems);
    let rolling = fields.flag("isRolling", problems).map(|(flag, _)| flag);
    let calendar = fields.map("calendar", problems);
    let (path, mark) = (fields.at("duration"), fields.mark);
    let calendar_path = fields.at("calendar");
    fields.finish(&[], problems);
    let (text, length_mark) = length?;
    let Some((number, unit)) = duration(text) else {
        problems.add(&path, length_mark, format!("{text} is no duration: 28d is, or 1M"));
        return None;
    };
    let window = match (rolling, calendar) {
        (Some(true), Some(calendar)) => {
            problems.add(&calendar_path, calendar.mark, "a rolling window has no calendar");
            return None;
        }
        (Some(true), None) => {
            let Some(length_ms) = fixed_ms(number, unit) else {
                let text =
                    format!("{unit} is not always as long: a rolling window is of m, h, d or w");
                problems.add(&path, length_mark, text);
                return None;
            };
            if !(SHORTEST_MS..=LONGEST_MS).contains(&length_ms) {
                problems.add(&path, length_mark, "a window is of one hour to 366 days");
                return None;
            }
            Window::Rolling { length_ms }
        }
        (_, Some(calendar)) => {
            let step = match unit {
                'd' => Some(Step::Days(number)),
                'w' => Some(Step::Days(number.saturating_mul(7))),
                'M' => Some(Step::Months(number)),
                'Q' => Some(Step::Months(number.saturating_mul(3))),
                'Y' => Some(Step::Months(number.saturating_mul(12))),
                _ => None,
            };
            let fits = |step: &Step| match step {
                Step::Days(days) => *days <= 366,
                Step::Months(months) => *months <= 12,
            };
            let Some(step) = step.filter(fits) else {
                let text = "a calendar's window is of d, w, M, Q or Y, one year at most; m is minutes, and M months";
                problems.add(&path, length_mark, text);
                return None;
            };
            Window::Calendar(of_calendar(calendar, step, problems)?)
        }
        (Some(false), None) => {
            problems.add(
                &calendar_path,
                mark,
                "it is missing: a window that does not roll has one",
            );
            return None;
        }
        (None, None) => {
            problems.add(&path, length_mark, "isRolling: true or a calendar is missing beside it");
            return None;
        }
    };
    let Some(grain) = window.grain_min(now) else {
        problems.add(&calendar_path, mark, "it begins at full quarters of an hour (UTC)");
        return None;
    };
    Some((window, grain))
}

fn of_calendar(mut calendar: Fields<'_>, step: Step, problems: &mut Problems) -> Option<Calendar> {
    let start = calendar.needed_text("startTime", 40, problems);
    let zone = calendar.needed_text("timeZone", 64, problems);
    let (at_start, at_zone) = (calendar.at("startTime"), calendar.at("timeZone"));
    calendar.finish(&[], problems);
    let (start, start_mark) = start?;
    let (zone, zone_mark) = zone?;
    let parsed = parse_start(start);
    if parsed.is_none() {
        let text = format!("{start} is no start: 2022-01-01 12:00:00 is");
        problems.add(&at_start, start_mark, text);
    }
    let known = zone.parse::<chrono_tz::Tz>().ok();
    if known.is_none() {
        let text = format!("{zone} is no time zone of the tz database: Europe/Berlin is");
        problems.add(&at_zone, zone_mark, text);
    }
    Some(Calendar { start: parsed?, zone: known?, step })
}

pub(super) fn budgeting(spec: &mut Fields<'_>, problems: &mut Problems) -> Option<Budgeting> {
    let (text, mark) = spec.needed_text("budgetingMethod", 40, problems)?;
    let all = [Budgeting::Occurrences, Budgeting::Timeslices, Budgeting::RatioTimeslices];
    let found = all.into_iter().find(|method| method.as_str() == text);
    if found.is_none() {
        let text = format!("{text} is none: Occurrences, Timeslices and RatioTimeslices are");
        problems.add(&spec.at("budgetingMethod"), mark, text);
    }
    found
}

pub(super) fn all(
    spec: &mut Fields<'_>,
    budgeting: Budgeting,
    indicator: &Indicator,
    problems: &mut Problems,
) -> Option<Vec<Objective>> {
    let at = spec.at("objectives");
    let Some((items, mark)) = spec.list("objectives", problems) else {
        problems.add(&at, spec.mark, "it is missing");
        return None;
    };
    if items.is_empty() || items.len() > MAX_OBJECTIVES {
        problems.add(&at, mark, format!("it has 1 to {MAX_OBJECTIVES} objectives"));
        return None;
    }
    let mut found = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let Some(fields) = Fields::of(item, &format!("{at}[{number}]"), problems) else { continue };
        found.extend(one(fields, budgeting, indicator, problems));
    }
    (found.len() == items.len()).then_some(found)
}

fn one(
    mut fields: Fields<'_>,
    budgeting: Budgeting,
    indicator: &Indicator,
    problems: &mut Problems,
) -> Option<Objective> {
    const COMPOSITE: &str =
        "objectives with indicators of their own are not evaluated here: write an SLO for each";
    let display_name =
        fields.text("displayName", MAX_NAME, problems).map(|(text, _)| Box::<str>::from(text));
    let target = target(&mut fields, problems);
    let compare = match indicator {
        Indicator::Threshold(_) => Some(compare(&mut fields, problems)),
        _ => None,
    };
    let slice_target = match budgeting {
        Budgeting::Timeslices => {
            let at = fields.at("timeSliceTarget");
            match fields.number("timeSliceTarget", problems) {
                Some((share, _)) if share > 0.0 && share <= 1.0 => Some(share),
                Some((_, mark)) => {
                    problems.add(&at, mark, "it is above 0 and at most 1");
                    return None;
                }
                None => {
                    problems.add(&at, fields.mark, "it is missing: Timeslices need it");
                    return None;
                }
            }
        }
        _ => None,
    };
    let slice_min = match budgeting {
        Budgeting::Occurrences => None,
        _ => Some(slice(&mut fields, problems)?),
    };
    fields.finish(
        &[
            ("op", "it is for thresholdMetric: a ratio has nothing that it compares"),
            ("value", "it is for thresholdMetric: a ratio has nothing that it compares"),
            ("timeSliceTarget", "it is for Timeslices"),
            ("timeSliceWindow", "it is for Timeslices and RatioTimeslices"),
            ("indicator", COMPOSITE),
            ("indicatorRef", COMPOSITE),
            ("compositeWeight", COMPOSITE),
        ],
        problems,
    );
    let compare = match compare {
        Some(compare) => Some(compare?),
        None => None,
    };
    Some(Objective { display_name, target: target?, compare, slice_target, slice_min })
}

fn target(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<f64> {
    let share = fields.number("target", problems);
    let percent = fields.number("targetPercent", problems);
    // By its decimals: 99.9 divided by 100 is not 0.999.
    let digits = fields.text("targetPercent", 40, problems).map_or("", |(text, _)| text);
    let hundredth = |percent: f64| format!("{digits}e-2").parse().unwrap_or(percent / 100.0);
    let (share, mark, key) = match (share, percent) {
        (Some((share, mark)), None) => (share, mark, "target"),
        (None, Some((percent, mark))) => (hundredth(percent), mark, "targetPercent"),
        (None, None) => {
            problems.add(&fields.at("target"), fields.mark, "it is missing");
            return None;
        }
        (Some(_), Some((_, mark))) => {
            let text = "either target or targetPercent stands here, not both";
            problems.add(&fields.at("targetPercent"), mark, text);
            return None;
        }
    };
    // At 1 there is no budget, and nothing to burn.
    if !(share > 0.0 && share < 1.0) {
        let text = "it is between 0 and 1 (0 and 100 in percent), both excluded";
        problems.add(&fields.at(key), mark, text);
        return None;
    }
    Some(share)
}

fn compare(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<(Operator, f64)> {
    let operator = fields.needed_text("op", 10, problems);
    let value = fields.number("value", problems);
    if value.is_none() {
        problems.add(
            &fields.at("value"),
            fields.mark,
            "a number is missing: thresholdMetric needs it",
        );
    }
    let (text, mark) = operator?;
    let operator = match text {
        "lt" => Operator::Less,
        "lte" => Operator::LessOrEqual,
        "gt" => Operator::Greater,
        "gte" => Operator::GreaterOrEqual,
        _ => {
            problems.add(
                &fields.at("op"),
                mark,
                format!("{text} is none: lte, gte, lt and gt are"),
            );
            return None;
        }
    };
    Some((operator, value?.0))
}

/// The length of a slice, in minutes.
fn slice(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<u32> {
    let at = fields.at("timeSliceWindow");
    let (text, mark) = fields.needed_text("timeSliceWindow", 20, problems)?;
    // A number alone is of minutes.
    let minutes = match duration(text) {
        Some((number, unit)) => fixed_ms(number, unit).map(|ms| ms / MINUTE_MS),
        None => text.parse::<u64>().ok(),
    };
    let fits = minutes.filter(|minutes| (1..=60).contains(minutes) && 60 % minutes == 0);
    if fits.is_none() {
        let text =
            format!("{text} does not fit: slices are of 1 to 60 minutes, full hours of them");
        problems.add(&at, mark, text);
    }
    u32::try_from(fits?).ok()
}
