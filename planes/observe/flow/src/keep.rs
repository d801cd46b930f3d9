//! What the plane knows over a restart, in the hands of who runs it.

use crate::state::FlowState;

/// Largest document that is read.
const MAX_BYTES: usize = 64 << 20;
/// The document of templates, samplers and names.
const TEMPLATES: &str = "flow-templates";

/// Keeps documents of one tenant by name. Who runs the plane decides where, and seals them: names of
/// interfaces and addresses of exporters are the tenant's.
pub trait Keeper: Send + Sync {
    /// The document that was kept last; `None` if there is none.
    ///
    /// # Errors
    /// Why it cannot be read, for people.
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, String>;

    /// Keeps a document in place of the one before, whole or not at all.
    ///
    /// # Errors
    /// Why it cannot be written, for people.
    fn save(&self, name: &str, document: &[u8]) -> Result<(), String>;
}

/// A document of that name, if it can be read; why not goes to the log.
pub(crate) fn load(keeper: &dyn Keeper, name: &str) -> Option<Vec<u8>> {
    match keeper.load(name) {
        Ok(found) => found.filter(|document| document.len() <= MAX_BYTES),
        Err(error) => {
            tracing::warn!(name, error, "what the flow plane kept cannot be read");
            None
        }
    }
}

/// What exporters told before. A state that cannot be read is not worth a plane that does not run:
/// exporters tell it again.
pub(crate) fn load_templates(keeper: &dyn Keeper) -> Option<FlowState> {
    let json = load(keeper, TEMPLATES)?;
    FlowState::from_json(&json).inspect_err(|error| tracing::warn!(%error, "flow state")).ok()
}

/// Keeps what exporters told; whether it is kept.
pub(crate) fn save_templates(keeper: &dyn Keeper, state: &FlowState) -> bool {
    let json = match state.to_json() {
        Ok(json) => json,
        Err(error) => {
            tracing::warn!(%error, "the flow state cannot be written down");
            return false;
        }
    };
    save(keeper, TEMPLATES, &json)
}

/// Keeps a document; whether it is kept.
pub(crate) fn save(keeper: &dyn Keeper, name: &str, document: &[u8]) -> bool {
    let saved = keeper.save(name, document);
    if let Err(error) = &saved {
        tracing::warn!(name, error, "what the flow plane knows cannot be kept");
    }
    saved.is_ok()
}
