//! Figures of the live picture as short texts.

use holm_path::rounds::Times;

/// Milliseconds in at most six characters; a dash where nothing was measured.
pub(super) fn ms(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2}"),
        Some(ms) if ms < 1_000.0 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}

/// A share in at most four characters; what is not zero is not shown as zero.
pub(super) fn percent(share: Option<f64>) -> String {
    match share.map(|share| share * 100.0) {
        None => "-".to_owned(),
        Some(0.0) => "0%".to_owned(),
        Some(percent) if percent < 1.0 => "<1%".to_owned(),
        Some(percent) => format!("{:.0}%", percent.floor()),
    }
}

/// The latest round trips as a line of bars between the least and the most of them.
pub(super) fn spark(times: &Times, width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let skip = times.recent().len().saturating_sub(width);
    let recent: Vec<Option<f64>> = times.recent().skip(skip).collect();
    let known = || recent.iter().flatten().copied();
    let (least, most) = (known().fold(f64::MAX, f64::min), known().fold(0.0, f64::max));
    let bar = |sample: &Option<f64>| match sample {
        None => '×',
        // A tenth of a millisecond is no wave.
        Some(_) if most - least < 0.1 => BARS[0],
        Some(ms) => BARS[((ms - least) / (most - least) * 7.0).round().clamp(0.0, 7.0) as usize],
    };
    recent.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_never_say_zero_for_a_little() {
        for (value, text) in [
            (None, "-"),
            (Some(0.041), "0.04"),
            (Some(9.994), "9.99"),
            (Some(12.34), "12.3"),
            (Some(812.26), "812.3"),
            (Some(30_000.0), "30000"),
        ] {
            assert_eq!(ms(value), text);
        }
        for (share, text) in [
            (None, "-"),
            (Some(0.0), "0%"),
            (Some(0.004), "<1%"),
            (Some(0.999), "99%"),
            (Some(1.0), "100%"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
