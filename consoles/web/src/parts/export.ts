// What a picture or a table is exported as.

/** One column of an export. */
export interface ExportColumn<Row> {
  name: string;
  value: (row: Row) => string | number | boolean | null | undefined;
}

/** RFC 4180 text. A cell that a spreadsheet would run as a formula gets an apostrophe in front: names come from the network. */
export function toCsv<Row>(columns: readonly ExportColumn<Row>[], rows: readonly Row[]): string {
  const line = (cells: readonly string[]) => cells.map(quote).join(",");
  const body = rows.map((row) => line(columns.map((column) => cell(column.value(row)))));
  return [line(columns.map((column) => column.name)), ...body].join("\r\n") + "\r\n";
}

/** Hands a file to the browser. */
export function download(name: string, type: string, content: string | Blob): void {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads the file after this turn; a second is enough for it to have started.
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** `holm-topology-20261121T140251Z.csv`. */
export function fileName(what: string, iso: string, extension: string): string {
  const stamp = iso.replace(/\.\d+/, "").replace(/[-:]/g, "");
  return `holm-${what}-${stamp}.${extension}`;
}

function cell(value: string | number | boolean | null | undefined): string {
  if (value === null || value === undefined) return "";
  const text = String(value);
  return typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
}

function quote(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
