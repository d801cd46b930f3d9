"""A ClickHouse behind a few lines of HTTP: chDB, the same engine in a library. `server.py PORT FOLDER`.

What it changes of a statement: `FROM input('…') FORMAT Parquet` reads the body from a file by `file(…)`,
since a library has no body. Settings of the query string go to the engine as they are.
"""

import os
import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from chdb import session

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
ENGINE = session.Session(os.path.join(FOLDER, "engine"))
ENGINE.query("CREATE DATABASE IF NOT EXISTS holm")
BODY = os.path.join(FOLDER, "body.parquet")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        query, database = asked.pop("query"), asked.pop("database", "default")
        status, code, answer = 200, None, b""
        try:
            ENGINE.query(f"USE {database}")
            if query.endswith(" FORMAT Parquet"):
                with open(BODY, "wb") as file:
                    file.write(body)
                # The HTTP interface's own.
                asked.pop("wait_end_of_query")
                quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in asked.items()}
                query = query.removesuffix(" FORMAT Parquet")
                query = re.sub(r"FROM input\(", lambda _: f"FROM file('{BODY}', 'Parquet', ", query)
                query += " SETTINGS " + ", ".join(f"{name} = '{value}'" for name, value in quoted.items())
            answer = str(ENGINE.query(query, "TabSeparated")).encode()
        except Exception as error:
            text = str(error)
            found = re.search(r"Code: (\d+)", text)
            status, code, answer = 400, found.group(1) if found else "1", text.encode()
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
