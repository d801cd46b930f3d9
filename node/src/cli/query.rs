//! `holm query` and `holm events`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use form_urlencoded::Serializer;
use holm_model::SiteId;

use super::Target;
use super::client::Client;
use super::render::clean;
use crate::api::error::ErrorBody;
use crate::api::events::EventsView;
use crate::api::query::{AskedSite, QueryAnswer, QueryRequest, QueryTables};

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    target: Target,
    /// One SELECT over the tables of all sites, such as: SELECT site, count(*) FROM active_results GROUP BY site
    #[arg(required_unless_present_any = ["name", "tables"])]
    sql: Option<String>,
    /// A question that is known by name; `--tables` lists them.
    #[arg(long, conflicts_with = "sql")]
    name: Option<String>,
    /// List tables, their columns, and the questions that are known by name.
    #[arg(long, conflicts_with_all = ["sql", "name"])]
    tables: bool,
    /// Only this site; may be given again.
    #[arg(long)]
    site: Vec<SiteId>,
    /// Longest time, in milliseconds.
    #[arg(long, default_value_t = 20_000)]
    timeout_ms: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// What the event store of this site has and lost, and what goes to cold storage and ClickHouse.
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// Write rows of this site as plain Parquet files, for DuckDB and any other reader.
    Export {
        #[command(flatten)]
        target: Target,
        /// The folder to write `<table>.parquet` into.
        #[arg(long)]
        out: PathBuf,
        /// Only this table; may be given again.
        #[arg(long)]
        table: Vec<String>,
        /// From this moment on (RFC 3339, or milliseconds since 1970).
        #[arg(long)]
        since: Option<String>,
        /// Up to this moment.
        #[arg(long)]
        until: Option<String>,
    },
}

pub(super) async fn query(args: QueryArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.target)?;
    if args.tables {
        let tables: QueryTables = client.get("/v1/query/tables").await?;
        if args.target.json {
            println!("{}", serde_json::to_string_pretty(&tables)?);
        } else {
            print!("{}", tables_text(&tables));
        }
        return Ok(());
    }
    let request = QueryRequest {
        sql: args.sql,
        name: args.name,
        sites: (!args.site.is_empty()).then_some(args.site),
        timeout_ms: Some(args.timeout_ms),
    };
    // Progress is for who watches; what is piped hears the end alone.
    let answer: QueryAnswer = if std::io::stderr().is_terminal() && !args.target.json {
        watched(&client, &request).await?
    } else {
        client.post("/v1/query", &request).await?
    };
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    print!("{}", rows_text(&answer));
    // What the answer stands on is said beside it, not in it.
    eprint!("{}", sites_text(&answer));
    Ok(())
}

/// Puts the question and shows how far each site is, in one line that goes when the answer comes.
async fn watched(client: &Client, request: &QueryRequest) -> anyhow::Result<QueryAnswer> {
    let mut sites: BTreeMap<String, AskedSite> = BTreeMap::new();
    let mut answer = None;
    let heard = client.events("/v1/query/live", request, |name, data| {
        match name {
            "site" => {
                let site: AskedSite = serde_json::from_str(data)?;
                sites.insert(format!("{}/{}", site.site, site.node), site);
                eprint!("\r\x1b[2K{}", progress_text(&sites));
            }
            "answer" => answer = Some(serde_json::from_str(data)?),
            "error" => {
                let body: ErrorBody = serde_json::from_str(data)?;
                bail!("{} (request {})", clean(&body.error.message), body.error.request_id);
            }
            _ => {}
        }
        Ok(())
    });
    let heard = heard.await;
    eprint!("\r\x1b[2K");
    heard?;
    answer.context("the answer broke off; ask again")
}

/// `2 of 3 sites answered; asked: lima/n1`
fn progress_text(sites: &BTreeMap<String, AskedSite>) -> String {
    let of = |state: &str| -> Vec<&str> {
        sites.iter().filter(|(_, s)| s.state == state).map(|(name, _)| name.as_str()).collect()
    };
    let mut text = format!("{} of {} nodes answered", of("answered").len(), sites.len());
    for (state, word) in [("asked", "waiting for"), ("late", "late"), ("failed", "failed")] {
        let names = of(state);
        if !names.is_empty() {
            text += &format!("; {word}: {}", names[..names.len().min(3)].join(", "));
            if names.len() > 3 {
                text += &format!(" and {} more", names.len() - 3);
            }
        }
    }
    clean(&text)
}

fn tables_text(tables: &QueryTables) -> String {
    let mut text = String::new();
    for table in &tables.tables {
        text +=
            &format!("{} ({} rows, {} bytes in files here)\n", table.name, table.rows, table.bytes);
        for column in &table.columns {
            text += &format!("  {}  {}\n", column.name, column.data_type);
        }
    }
    for named in &tables.named {
        text += &format!("--name {}: {}\n  {}\n", named.name, named.text, named.sql);
    }
    text
}

fn rows_text(answer: &QueryAnswer) -> String {
    let header: Vec<String> = answer.columns.iter().map(|column| column.name.clone()).collect();
    let cell = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => clean(text),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> =
        answer.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&header).chain(&rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn sites_text(answer: &QueryAnswer) -> String {
    let mut text = String::new();
    for site in &answer.sites {
        text += &format!(
            "{}/{}: {}, {} rows, {} bytes, {} ms",
            site.site, site.node, site.state, site.rows, site.bytes, site.took_ms
        );
        if let Some(error) = &site.error {
            text += &format!(": {}", clean(error));
        }
        if let Some(missing) = &site.missing {
            text += &format!("; without {}", clean(missing));
        }
        text.push('\n');
    }
    for approximation in &answer.approximations {
        text += &format!("not exact: {}\n", clean(&approximation.text));
    }
    if answer.cut {
        text += "there are more rows than an answer has: ask for less, or with a LIMIT\n";
    }
    if !answer.complete {
        text += "the answer is not complete: rows of the sites that did not answer are missing\n";
    }
    text
}

async fn status(target: &Target) -> anyhow::Result<()> {
    let events: EventsView = Client::new(target)?.get("/v1/events").await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&events)?);
    } else {
        print!("{}", events_text(&events));
    }
    Ok(())
}

/// What the store has, what it lost, and where rows go besides.
fn events_text(events: &EventsView) -> String {
    let mut text = format!(
        "{} rows in {} files, {} of {} bytes\n",
        events.rows, events.files, events.bytes, events.max_bytes
    );
    if let Some(problem) = &events.problem {
        text += &format!("NOT WRITTEN: {}\n", clean(problem));
    }
    if let Some(problem) = &events.documents_problem {
        text += &format!("CHANGES WAIT: {}\n", clean(problem));
    }
    for (rows, what) in [
        (
            events.dropped_oldest,
            "rows dropped, the oldest, to keep within the bounds or to make room",
        ),
        (events.dropped_queue_full, "rows lost: the disk was too slow, or full"),
        (events.refused, "rows refused: they fit no table"),
        (events.write_failures, "writes failed and were tried again"),
        (events.damaged, "files or logs were damaged and set aside"),
    ] {
        if rows > 0 {
            text += &format!("{rows} {what}\n");
        }
    }
    if let Some(cold) = &events.cold {
        text += &format!(
            "cold storage: {} files moved, {} bytes read back, {} requests failed\n",
            cold.moved, cold.fetched_bytes, cold.failures
        );
    }
    let Some(clickhouse) = &events.clickhouse else { return text };
    text += &format!(
        "ClickHouse at {}: {} rows sent, {} wait, {} requests failed\n",
        clean(&clickhouse.target),
        clickhouse.sent_rows,
        clickhouse.waiting_rows,
        clickhouse.failures
    );
    if let Some(oldest) = clickhouse.oldest_waiting {
        text += &format!("  the oldest that waits is of {oldest}\n");
    }
    for (rows, what) in [
        (clickhouse.given_up_rows, "rows were too old and were not sent"),
        (clickhouse.lost_rows, "rows were dropped here before they were sent"),
    ] {
        if rows > 0 {
            text += &format!("  {rows} {what}\n");
        }
    }
    if let Some(error) = &clickhouse.error {
        text += &format!("  NOT SENT: {}\n", clean(error));
    }
    for (table, why) in &clickhouse.refused {
        text += &format!("  table {table} is refused: {}\n", clean(why));
    }
    text
}

pub(super) async fn events(command: EventsCommand) -> anyhow::Result<()> {
    let (target, out, table, since, until) = match command {
        EventsCommand::Export { target, out, table, since, until } => {
            (target, out, table, since, until)
        }
        EventsCommand::Status { target } => return status(&target).await,
    };
    let client = Client::new(&target)?;
    let known: QueryTables = client.get("/v1/query/tables").await?;
    let with_rows = known.tables.iter().filter(|table| table.rows > 0).map(|t| t.name.clone());
    let wanted = if table.is_empty() { with_rows.collect() } else { table };
    if wanted.is_empty() {
        bail!("no table has rows at this site yet; `holm planes` says what is observed");
    }
    std::fs::create_dir_all(&out).with_context(|| format!("{}: cannot be made", out.display()))?;
    for table in wanted {
        let mut query = Serializer::new(String::new());
        query.append_pair("table", &table);
        for (name, value) in [("since", &since), ("until", &until)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let path = out.join(format!("{table}.parquet"));
        let mut file = std::fs::File::create(&path)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
        let url = format!("/v1/events/export?{}", query.finish());
        if let Err(error) = client.copy(&url, &mut file).await {
            drop(file);
            // A part of a file is worse than none.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        println!("{} ({} bytes)", path.display(), std::fs::metadata(&path)?.len());
    }
    Ok(())
}
