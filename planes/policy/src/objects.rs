//! Files of several objects of one kind, each with a name of its own.

use std::collections::BTreeSet;

use crate::fields::Problems;
use crate::marked::{Node, documents, read};
use crate::problem::{Mark, Refused};

/// Most objects of a file.
const MAX_OBJECTS: usize = 2_000;

/// All objects of a file, in its order. `one` reads an object at its path, and tells what is wrong with it; `name` is
/// what no two may share.
///
/// # Errors
/// All that is wrong with the file: then none of it counts.
pub fn objects<T>(
    text: &str,
    kind: &str,
    one: impl Fn(&Node, &str, &mut Problems) -> Option<T>,
    name: impl Fn(&T) -> &str,
) -> Result<Vec<T>, Refused> {
    let nodes = read(text).map_err(|problem| Refused(vec![problem]))?;
    let mut problems = Problems::default();
    let nodes = documents(&nodes);
    if nodes.is_empty() {
        problems.add("", Mark::START, format!("it has no object of kind {kind}"));
    }
    if nodes.len() > MAX_OBJECTS {
        problems.add("", Mark::START, format!("it has more than {MAX_OBJECTS} objects"));
        return Err(Refused(problems.take()));
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut objects = Vec::new();
    for (path, node) in nodes {
        let Some(object) = one(node, &path, &mut problems) else { continue };
        if !names.insert(name(&object).to_owned()) {
            problems.add(&path, node.mark, format!("{} stands here twice", name(&object)));
        }
        objects.push(object);
    }
    if problems.is_empty() { Ok(objects) } else { Err(Refused(problems.take())) }
}
