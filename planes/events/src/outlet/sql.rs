//! Tables and inserts in ClickHouse's SQL.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use crate::table::Table;

/// The columns before a table's own: whose rows they are.
pub(crate) const OF: [&str; 3] = ["tenant", "site", "node"];
/// Inserts that a table remembers, to drop what comes again.
const REMEMBERED: u32 = 10_000;

/// ``` `name` ```
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// `'text'`
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// What a column is there; `None` where there is nothing like it.
fn column_type(kind: &DataType, nullable: bool) -> Option<String> {
    let plain = match kind {
        DataType::Boolean => "Bool".to_owned(),
        DataType::Int8 => "Int8".to_owned(),
        DataType::Int16 => "Int16".to_owned(),
        DataType::Int32 => "Int32".to_owned(),
        DataType::Int64 => "Int64".to_owned(),
        DataType::UInt8 => "UInt8".to_owned(),
        DataType::UInt16 => "UInt16".to_owned(),
        DataType::UInt32 => "UInt32".to_owned(),
        DataType::UInt64 => "UInt64".to_owned(),
        DataType::Float32 => "Float32".to_owned(),
        DataType::Float64 => "Float64".to_owned(),
        DataType::Utf8 | DataType::Binary => "String".to_owned(),
        // 16 bytes are an address.
        DataType::FixedSizeBinary(16) => "IPv6".to_owned(),
        DataType::FixedSizeBinary(bytes) => format!("FixedString({bytes})"),
        DataType::Timestamp(unit, _) => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            format!("DateTime64({digits}, 'UTC')")
        }
        DataType::Dictionary(_, value) if **value == DataType::Utf8 => {
            let inner = if nullable { "Nullable(String)" } else { "String" };
            return Some(format!("LowCardinality({inner})"));
        }
        // A list cannot be null there: it is empty.
        DataType::List(item) => {
            return Some(format!("Array({})", column_type(item.data_type(), false)?));
        }
        _ => return None,
    };
    Some(if nullable { format!("Nullable({plain})") } else { plain })
}

/// `` `name` Type ``
fn column(field: &Field) -> Option<String> {
    let kind = column_type(field.data_type(), field.is_nullable())?;
    Some(format!("{} {kind}", quoted(field.name())))
}

/// The statements that make the table, or give it the columns that it lacks.
pub(crate) fn create(table: &Table) -> [String; 2] {
    let name = quoted(table.name());
    let of = OF.map(|name| format!("{} LowCardinality(String)", quoted(name)));
    let own: Vec<String> = table.schema().fields().iter().filter_map(|f| column(f)).collect();
    let time = quoted(table.time_column());
    let key = OF[..2].iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let columns = [of.to_vec(), own.clone()].concat().join(", ");
    let added: Vec<String> =
        own.iter().map(|column| format!("ADD COLUMN IF NOT EXISTS {column}")).collect();
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {name} ({columns}) ENGINE = MergeTree PARTITION BY toYYYYMM({time}) \
             ORDER BY ({key}, {time}) SETTINGS non_replicated_deduplication_window = {REMEMBERED}"
        ),
        format!("ALTER TABLE {name} {}", added.join(", ")),
    ]
}

/// The insert of a Parquet file with those columns, of tenant, site and node.
pub(crate) fn insert(table: &str, file: &Schema, of: &[String; 3]) -> String {
    let known = file.fields().iter().filter_map(|field| Some((field.name(), column(field)?)));
    let (names, columns): (Vec<String>, Vec<String>) =
        known.map(|(name, column)| (quoted(name), column)).unzip();
    let names = names.join(", ");
    format!(
        "INSERT INTO {} ({}, {names}) SELECT {}, {names} FROM input({}) FORMAT Parquet",
        quoted(table),
        OF.map(quoted).join(", "),
        of.each_ref().map(|text| literal(text)).join(", "),
        literal(&columns.join(", "))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Kind;

    #[test]
    fn names_and_values_cannot_leave_their_quotes() {
        let field = Field::new("a` b\\'", DataType::Utf8, true);
        let sql = insert("t", &Schema::new(vec![field]), &["x'y", "\\", "n"].map(str::to_owned));
        assert_eq!(
            sql,
            "INSERT INTO `t` (`tenant`, `site`, `node`, `a\\` b\\\\'`) SELECT 'x\\'y', '\\\\', 'n', `a\\` b\\\\'` \
             FROM input('`a\\\\` b\\\\\\\\\\'` Nullable(String)') FORMAT Parquet"
        );
    }

    #[test]
    fn a_table_is_made_as_ours_is() {
        let table = Table::of_rows("signals", &[("n", Kind::Int)]).expect("a table");
        let [create, alter] = create(&table);
        assert_eq!(
            create,
            "CREATE TABLE IF NOT EXISTS `signals` (`tenant` LowCardinality(String), `site` LowCardinality(String), \
             `node` LowCardinality(String), `time` DateTime64(3, 'UTC'), `n` Nullable(Int64), \
             `attributes` Nullable(String)) ENGINE = MergeTree PARTITION BY toYYYYMM(`time`) \
             ORDER BY (`tenant`, `site`, `time`) SETTINGS non_replicated_deduplication_window = 10000"
        );
        assert!(
            alter.ends_with("ADD COLUMN IF NOT EXISTS `attributes` Nullable(String)"),
            "{alter}"
        );
        let list = DataType::List(Field::new("item", DataType::UInt32, false).into());
        assert_eq!(column_type(&list, true).as_deref(), Some("Array(UInt32)"));
        assert_eq!(column_type(&DataType::Null, true), None);
    }
}
