//! What an unknown name may have meant.

/// Longest distance at which two names are still taken for each other.
const NEAR: usize = 3;

/// The at most `limit` of `names` that are nearest to `wanted`: those that contain it, then those that
/// are few edits away; in order of distance, then of name.
pub fn nearest<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str>,
    limit: usize,
) -> Vec<&'a str> {
    let wanted: Vec<char> = wanted.to_lowercase().chars().take(80).collect();
    let text: String = wanted.iter().collect();
    // `service:chekout` is near `service:checkout`, and so is `checkout` alone.
    let bare = text.split_once(':').map_or(&*text, |(_, name)| name).to_owned();
    let letters: Vec<char> = bare.chars().collect();
    let kind = text.split_once(':').map(|(kind, _)| kind.to_owned());
    let is_other = |lower: &str| {
        let own = lower.split_once(':').map(|(kind, _)| kind);
        kind.as_deref().is_some_and(|kind| own != Some(kind))
    };
    let mut room = Vec::new();
    let (mut near, mut of_kind) = (Vec::new(), Vec::new());
    for name in names {
        let lower = name.to_lowercase();
        let other = is_other(&lower);
        if !bare.is_empty() && lower.contains(&bare) {
            near.push((other, 0, name));
            continue;
        }
        let own = lower.split_once(':').map_or(&*lower, |(_, own)| own);
        let distance = edits(&wanted, &lower, &mut room).min(edits(&letters, own, &mut room));
        if distance <= NEAR && distance * 2 <= letters.len() {
            near.push((other, distance, name));
        } else if kind.is_some() && !other {
            of_kind.push(name);
        }
    }
    near.sort_unstable();
    near.dedup();
    let mut found: Vec<&str> = near.into_iter().map(|(_, _, name)| name).collect();
    // Nothing is near: what there is of that kind.
    if found.is_empty() {
        of_kind.sort_unstable();
        of_kind.dedup();
        found = of_kind;
    }
    found.truncate(limit);
    found
}

/// Optimal string alignment distance, or anything above [`NEAR`] once it is certain to be above.
fn edits(a: &[char], b: &str, room: &mut Vec<[usize; 3]>) -> usize {
    let count = b.chars().count();
    if a.len().abs_diff(count) > NEAR {
        return NEAR + 1;
    }
    // Columns of three rows: the one before the last, the last, and this one.
    room.clear();
    room.extend((0..=a.len()).map(|i| [0, i, 0]));
    let mut before = None;
    for (j, c) in b.chars().enumerate() {
        room[0][2] = j + 1;
        let mut least = j + 1;
        for i in 0..a.len() {
            let same = usize::from(a[i] != c);
            let mut cost = (room[i][1] + same).min(room[i][2] + 1).min(room[i + 1][1] + 1);
            if i > 0 && before == Some(a[i]) && a[i - 1] == c {
                cost = cost.min(room[i - 1][0] + 1);
            }
            room[i + 1][2] = cost;
            least = least.min(cost);
        }
        if least > NEAR {
            return NEAR + 1;
        }
        room.iter_mut().for_each(|column| column.rotate_left(1));
        before = Some(c);
    }
    room[a.len()][1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_and_parts_are_found() {
        let names = ["service:checkout", "service:cart", "host:192.0.2.7", "as:64500"];
        let near = |wanted| nearest(wanted, names.into_iter(), 3);
        assert_eq!(near("service:chekcout"), ["service:checkout"]);
        assert_eq!(near("checkout"), ["service:checkout"]);
        assert_eq!(near("service:check"), ["service:checkout"]);
        assert_eq!(near("host:192.0.2.8"), ["host:192.0.2.7"]);
        assert_eq!(near("nothing-like-it"), [""; 0]);
        // Nothing is near: what there is of the kind.
        assert_eq!(near("service:zzz"), ["service:cart", "service:checkout"]);
        assert_eq!(near("site:zzz"), [""; 0]);
        // Those of the kind that is asked for come first.
        assert_eq!(near("as:6"), ["as:64500"]);
        assert_eq!(nearest("as:2", ["host:192.0.2.7", "as:2000"].into_iter(), 1), ["as:2000"]);
        assert_eq!(nearest("host:vm", ["host:vm", "host:vm"].into_iter(), 3), ["host:vm"]);
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        let distance = |a: &str, b| edits(&a.chars().collect::<Vec<_>>(), b, &mut Vec::new());
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("abc", "ac", 1), ("abcd", "badc", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
        assert!(distance("abcdef", "ghijkl") > NEAR);
    }
}
