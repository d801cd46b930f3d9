//! Functions beside DataFusion's: addresses. And which of DataFusion's are there: none that makes values of any size
//! out of nothing.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionImplementation, ScalarUDF, Volatility, create_udf,
};

/// DataFusion's functions that are not there: what can make values of any size out of a number, and what tells of files
/// and of columns' metadata.
pub(crate) const LEFT_OUT: &[&str] = &[
    "arrow_field",
    "arrow_metadata",
    "file_row_index",
    "input_file_name",
    "lpad",
    "repeat",
    "replace",
    "rpad",
    "union_extract",
    "union_tag",
    "with_metadata",
];

/// DataFusion's functions whose results are of a fixed size, or no larger than what they are given. What is neither here
/// nor in [`crate::grown`] is not there: a function of another DataFusion has to be looked at first.
const NO_LARGER: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "ascii",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bit_length",
    "cbrt",
    "ceil",
    "character_length",
    "chr",
    "coalesce",
    "contains",
    "cos",
    "cosh",
    "cot",
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "decode",
    "degrees",
    "ends_with",
    "exp",
    "factorial",
    "find_in_set",
    "floor",
    "from_unixtime",
    "gcd",
    "get_field",
    "greatest",
    "isnan",
    "iszero",
    "lcm",
    "least",
    "levenshtein",
    "ln",
    "log",
    "log10",
    "log2",
    "make_date",
    "make_time",
    "nanvl",
    "now",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "pi",
    "power",
    "radians",
    "random",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "round",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "starts_with",
    "strpos",
    "tan",
    "tanh",
    "to_date",
    "to_hex",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "trunc",
    "uuid",
    "version",
];

/// DataFusion's functions of lists that are there: they make nothing larger. What makes lists is not there.
const OF_LISTS: &[&str] = &[
    "array_element",
    "array_has",
    "array_length",
    "array_max",
    "array_min",
    "array_position",
    "array_slice",
    "array_to_string",
    "cardinality",
    "empty",
];

/// DataFusion's aggregates that are left out: `sum` is ours, the others keep every value that they are given.
pub(crate) const AGGREGATES_LEFT_OUT: &[&str] = &["array_agg", "string_agg", "sum"];

/// Those of DataFusion's functions that are there, the growing ones bounded.
pub(crate) fn of_datafusion(pool: &Arc<dyn MemoryPool>) -> Vec<Arc<ScalarUDF>> {
    let mut functions = SessionStateDefaults::default_scalar_functions();
    functions.retain(|function| {
        let name = function.name();
        NO_LARGER.contains(&name) || crate::grown::grows(name)
    });
    let mut of_lists = datafusion_functions_nested::all_default_nested_functions();
    of_lists.retain(|function| OF_LISTS.contains(&function.name()));
    functions.extend(of_lists);
    crate::grown::bounded(functions, pool)
}

const ADDRESS: DataType = DataType::FixedSizeBinary(16);

/// `ip`, `ip_text`, `in_prefix`.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let function = |name, types: Vec<DataType>, gives, work: ScalarFunctionImplementation| {
        Arc::new(create_udf(name, types, gives, Volatility::Immutable, work))
    };
    vec![
        function("ip", vec![DataType::Utf8], ADDRESS, Arc::new(ip)),
        function("ip_text", vec![ADDRESS], DataType::Utf8, Arc::new(ip_text)),
        function(
            "in_prefix",
            vec![ADDRESS, DataType::Utf8],
            DataType::Boolean,
            Arc::new(in_prefix),
        ),
    ]
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// As many rows as the longest argument; a single value stands for all of them.
fn arrays(args: &[ColumnarValue]) -> Result<(Vec<ArrayRef>, bool)> {
    let single = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    Ok((ColumnarValue::values_to_arrays(args)?, single))
}

fn done(array: ArrayRef, single: bool) -> Result<ColumnarValue> {
    if single {
        let value = datafusion::common::ScalarValue::try_from_array(&array, 0)?;
        return Ok(ColumnarValue::Scalar(value));
    }
    Ok(ColumnarValue::Array(array))
}

fn ip(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let (arrays, single) = arrays(args)?;
    let texts = arrays[0].as_string::<i32>();
    let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.len(), 16);
    for text in texts {
        match text.map(str::parse::<IpAddr>) {
            Some(Ok(address)) => builder.append_value(mapped(address))?,
            Some(Err(_)) => return exec_err!("\"{}\" is not an address", text.unwrap_or_default()),
            None => builder.append_null(),
        }
    }
    done(Arc::new(builder.finish()), single)
}

fn ip_text(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let (arrays, single) = arrays(args)?;
    let mut builder = StringBuilder::new();
    for bytes in arrays[0].as_fixed_size_binary() {
        builder.append_option(bytes.map(holm_events::text_of_bytes));
    }
    done(Arc::new(builder.finish()), single)
}

fn in_prefix(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let (arrays, single) = arrays(args)?;
    let addresses = arrays[0].as_fixed_size_binary();
    let prefixes = arrays[1].as_string::<i32>();
    // Nearly always the same prefix for all rows.
    let mut last: Option<(&str, (u128, u32))> = None;
    let mut within = Vec::with_capacity(addresses.len());
    for (bytes, text) in addresses.iter().zip(prefixes) {
        let (Some(bytes), Some(text)) = (bytes, text) else {
            within.push(None);
            continue;
        };
        let (network, bits) = match last {
            Some((known, prefix)) if known == text => prefix,
            _ => prefix(text)?,
        };
        last = Some((text, (network, bits)));
        let address = <[u8; 16]>::try_from(bytes).map_or(0, u128::from_be_bytes);
        let shift = 128 - bits;
        within.push(Some(bits == 0 || address >> shift == network >> shift));
    }
    done(Arc::new(BooleanArray::from(within)), single)
}

/// A network and its bits; those of IPv4 count within the mapped addresses.
fn prefix(text: &str) -> Result<(u128, u32)> {
    let parsed = text.split_once('/').and_then(|(address, bits)| {
        let address: IpAddr = address.parse().ok()?;
        let bits: u32 = bits.parse().ok()?;
        let bits = match address {
            IpAddr::V4(_) => bits.checked_add(96).filter(|_| bits <= 32)?,
            IpAddr::V6(_) => bits,
        };
        (bits <= 128).then(|| (u128::from(Ipv6Addr::from(mapped(address))), bits))
    });
    match parsed {
        Some(prefix) => Ok(prefix),
        None => exec_err!("\"{text}\" is not a prefix, such as 10.0.0.0/8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read() {
        assert_eq!(prefix("10.0.0.0/8").expect("good").1, 104);
        assert_eq!(prefix("2001:db8::/32").expect("good").1, 32);
        for bad in ["10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/-1"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_function_of_datafusion_was_looked_at() {
        let growing = crate::grown::grows;
        let mut all: Vec<String> = Vec::new();
        for function in SessionStateDefaults::default_scalar_functions() {
            let name = function.name();
            let known = [NO_LARGER.contains(&name), growing(name), LEFT_OUT.contains(&name)];
            let times = known.iter().filter(|known| **known).count();
            assert_eq!(times, 1, "{name} is no larger, bounded, or left out");
            // Another name for one that is left out would be one for what is there.
            all.push(name.to_owned());
            all.extend(function.aliases().iter().cloned());
        }
        for name in NO_LARGER.iter().chain(LEFT_OUT) {
            assert!(all.iter().any(|known| known == name), "there is no {name}");
        }
        let pool: Arc<dyn MemoryPool> =
            Arc::new(datafusion::execution::memory_pool::UnboundedMemoryPool::default());
        let there = of_datafusion(&pool);
        for name in OF_LISTS {
            assert!(there.iter().any(|function| function.name() == *name), "there is no {name}");
        }
        for name in LEFT_OUT {
            let named = |function: &Arc<ScalarUDF>| {
                function.name() == *name || function.aliases().iter().any(|alias| alias == name)
            };
            assert!(!there.iter().any(named), "{name}");
        }
    }
}
