//! Edits of policies as they stand, and what one more would come to.

use holm_model::Millis;
use holm_replica::PolicyBook;

/// What stands before a path in the name of who edited, where a folder of policies did.
pub(super) const FOLDER: &str = "folder:";

/// An edit of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyEdit {
    pub(crate) by: Box<str>,
    /// The node that wrote it.
    pub(crate) writer: Box<str>,
    pub(crate) at: Millis,
    /// What it says; `None` if it takes the policy away.
    pub(crate) content: Option<String>,
}

/// The edits of a policy that stand, the one that counts first. Of one that keeps it and one that takes it away
/// the first counts: what is watched stays watched.
pub(super) fn standing(policies: &PolicyBook, area: &str, name: &str) -> Vec<PolicyEdit> {
    let standing = policies.standing(area, name).into_iter();
    let mut edits: Vec<PolicyEdit> = standing
        .map(|edit| PolicyEdit {
            by: edit.by.clone(),
            writer: edit.writer.clone(),
            at: edit.at,
            content: edit.content.as_ref().map(|c| String::from_utf8_lossy(c).into_owned()),
        })
        .collect();
    edits.sort_by_key(|edit| edit.content.is_none());
    edits
}

/// The edits that say something else than the one that counts.
pub(crate) fn conflicts(edits: &[PolicyEdit]) -> impl Iterator<Item = &PolicyEdit> {
    let first = edits.first();
    edits
        .iter()
        .skip(1)
        .filter(move |edit| first.is_some_and(|first| first.content != edit.content))
}

/// The edit by which a policy is held, if a folder holds it: of several nodes' folders that say the same that of the
/// first by its name, at every node alike.
pub(super) fn holder(standing: &[PolicyEdit]) -> Option<&PolicyEdit> {
    let first = standing.iter().find(|edit| edit.content.is_some())?;
    let same = standing.iter().filter(|edit| edit.content == first.content);
    let of_folders = same.filter(|edit| edit.by.starts_with(FOLDER));
    Some(of_folders.min_by(|a, b| a.writer.cmp(&b.writer)).unwrap_or(first))
}

/// Whether an edit at `own` would say what is said already. Folders of several nodes that say the same are no
/// conflict; a policy that moves to another file of one folder is of that one from then on.
pub(super) fn says_nothing_new(
    standing: &[PolicyEdit],
    content: Option<&str>,
    by: &str,
    own: &str,
) -> bool {
    if standing.is_empty() || standing.iter().any(|edit| edit.content.as_deref() != content) {
        return false;
    }
    if !by.starts_with(FOLDER) {
        return standing.len() == 1;
    }
    standing.iter().any(|edit| match &*edit.writer == own {
        true => *edit.by == *by,
        false => edit.by.starts_with(FOLDER),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(by: &str, writer: &str, content: Option<&str>) -> PolicyEdit {
        let content = content.map(str::to_owned);
        PolicyEdit { by: by.into(), writer: writer.into(), at: Millis(1), content }
    }

    #[test]
    fn what_two_folders_say_alike_is_said_once() {
        let (berlin, tokyo) = ("berlin/n1", "tokyo/n1");
        let says =
            |standing: &[PolicyEdit], content, by| says_nothing_new(standing, content, by, berlin);
        let theirs = [edit("folder:a.yaml", tokyo, Some("x"))];
        assert!(says(&theirs, Some("x"), "folder:b.yaml"), "the same, elsewhere in another file");
        assert!(!says(&theirs, Some("y"), "folder:b.yaml"));
        let ours = [edit("folder:a.yaml", berlin, Some("x"))];
        assert!(says(&ours, Some("x"), "folder:a.yaml"));
        assert!(!says(&ours, Some("x"), "folder:b.yaml"), "it moved");
        let person = [edit("ada", tokyo, Some("x"))];
        assert!(!says(&person, Some("x"), "folder:a.yaml"), "the folder holds it from now on");
        assert!(says(&person, Some("x"), "bob"));
        let both = [theirs[0].clone(), ours[0].clone()];
        assert!(says(&both, Some("x"), "folder:a.yaml") && !says(&both, Some("x"), "bob"));
        assert_eq!(conflicts(&both).count(), 0);
        // Both know whose folder is to change first.
        let turned = [both[1].clone(), both[0].clone()];
        assert_eq!(
            (&*holder(&both).expect("held").writer, holder(&turned)),
            (berlin, holder(&both))
        );
        let apart = [theirs[0].clone(), edit("ada", berlin, None)];
        assert_eq!(conflicts(&apart).count(), 1);
        assert!(!says(&[], None, "bob") && !says(&[], Some("x"), "folder:a.yaml"));
    }
}
