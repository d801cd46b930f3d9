use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

const NO_MEMORY: &str = "its groups, or what it sorts, do not fit into the memory that all questions share, nor can they be spilled";

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// Only one SELECT is a question.
    #[error("{0}; a question is one SELECT over this tenant's tables")]
    Refused(String),
    /// It does not make sense: a table or column that is not there, types that do not fit.
    #[error("the question is not understood: {0}")]
    Invalid(String),
    /// It would take more than a question may.
    #[error("the question takes too much: {0}; narrow its time, or ask for less at once")]
    TooMuch(String),
    /// This tenant's other questions take what there is: later it may be asked as it is.
    #[error("{why}; ask again in {again_s} s")]
    Busy {
        /// What takes it.
        why: String,
        /// When it is worth asking again.
        again_s: u64,
    },
    /// It took longer than it may.
    #[error("there was no answer within {} s; narrow its time, or allow more", .0.as_secs_f64())]
    Timeout(Duration),
    /// Something here failed.
    #[error("the question failed: {0}")]
    Failed(String),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        // What a table of the mesh said when it was scanned.
        if let DataFusionError::External(inner) = error.find_root()
            && let Some(own) = inner.downcast_ref::<Self>()
        {
            return own.clone();
        }
        let text = error.strip_backtrace();
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::TooMuch(text),
            // Whatever failed because of it.
            _ if text.contains("Resources exhausted") => Self::TooMuch(NO_MEMORY.to_owned()),
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Diagnostic(..) => Self::Invalid(with_hint(text)),
            // A function's word on what it was given.
            DataFusionError::Execution(what) => Self::Invalid(what.clone()),
            DataFusionError::External(what)
                if what.to_string().starts_with("regex parse error") =>
            {
                Self::Invalid(what.to_string())
            }
            // A value that is none: what was asked has no answer.
            DataFusionError::ArrowError(error, _) => match &**error {
                ArrowError::CastError(what)
                | ArrowError::ParseError(what)
                | ArrowError::ArithmeticOverflow(what) => Self::Invalid(what.clone()),
                ArrowError::ComputeError(what) if what.to_lowercase().contains("overflow") => {
                    Self::Invalid(format!(
                        "{what}: more than a whole number holds; cast it to double"
                    ))
                }
                ArrowError::DivideByZero => Self::Invalid("something is divided by zero".into()),
                _ => Self::Failed(text),
            },
            _ => Self::Failed(text),
        }
    }
}

/// Why a function is not there that DataFusion has, and what does the same; or what is meant where an address is compared
/// with a text.
fn with_hint(text: String) -> String {
    let named = text.split_once("Invalid function '").and_then(|(_, rest)| rest.split_once('\''));
    if let Some(hint) = named.and_then(|(name, _)| left_out(&name.to_lowercase())) {
        return hint;
    }
    if text.contains("FixedSizeBinary(16)") && text.contains("Utf8") {
        return format!(
            "{text}; an address is compared with ip('192.0.2.1'), or by in_prefix(column, '192.0.2.0/24')"
        );
    }
    text
}

fn left_out(name: &str) -> Option<String> {
    let instead = match name {
        "replace" => "use regexp_replace, or translate for single characters",
        "lpad" | "rpad" | "repeat" => "use concat with constants, or to_char",
        "array_agg" | "string_agg" => "group by the value as well, so that each is a row",
        _ if crate::functions::LEFT_OUT.contains(&name) => {
            return Some(format!("{name} is left out: it tells of files or types, not of rows"));
        }
        _ => return None,
    };
    Some(format!("{name} is left out, because what it makes may be of any size; {instead}"))
}
