//! How a service is named: the same name after every restart, on every host.
//!
//! 1. In a container: the container's name, where its control group or its runtime tells one.
//! 2. Else the systemd unit, for a `*.service` that is not made up for one run.
//! 3. Else the program: `<interpreter>:<script>` for python, node, java, ruby, perl and php, else the
//!    executable's file name, else the kernel's name for the process (15 bytes).
//!
//! Never a process id, and never a container id: they change with every start.

use holm_model::MAX_NODE_NAME_BYTES;

/// Longest command line that is kept, in bytes.
pub(crate) const MAX_COMMAND_BYTES: usize = 256;

/// What a control group says about its processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The path below the root of the control groups, at most 512 bytes.
    pub(crate) path: String,
    /// The container's id (64 hexadecimal digits), empty if not in one that has an id.
    pub(crate) container_id: String,
    /// The container's name, where the path has it (lxc, systemd-nspawn).
    pub(crate) container_name: String,
    /// The systemd unit without `.service`, empty if none names the process.
    pub(crate) unit: String,
}

/// Reads `/proc/<pid>/cgroup`: lines of `hierarchy:controllers:path` (cgroups(7)).
pub(crate) fn read_placement(text: &str) -> Placement {
    let mut placement = Placement::default();
    let mut systemd = "";
    for line in text.lines().take(64) {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if placement.container_id.is_empty() && placement.container_name.is_empty() {
            read_container(path, &mut placement);
        }
        // The unified hierarchy first, then systemd's own of the first version.
        let better = controllers.is_empty() && path != "/";
        if better || systemd.is_empty() && controllers == "name=systemd" {
            systemd = path;
        }
    }
    placement.path = truncated(systemd, 512).to_owned();
    placement.unit = unit(systemd).to_owned();
    placement
}

/// The container that `path` lies in: docker (`/docker/<id>`, `docker-<id>.scope`), containerd
/// (`cri-containerd-<id>.scope`, `…:cri-containerd:<id>`), CRI-O (`crio-<id>.scope`), podman
/// (`libpod-<id>.scope`), lxc (`lxc.payload.<name>`), systemd-nspawn (`machine-<name>.scope`).
fn read_container(path: &str, placement: &mut Placement) {
    for part in path.split('/').rev() {
        let leaf = part.strip_suffix(".scope").unwrap_or(part);
        // conmon stands beside its container, not in it.
        if leaf.contains("conmon") {
            continue;
        }
        let id = leaf.rsplit(['-', ':']).next().unwrap_or(leaf);
        if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
            placement.container_id = id.to_ascii_lowercase();
            return;
        }
        let name = leaf
            .strip_prefix("lxc.payload.")
            .or_else(|| leaf.strip_prefix("machine-").filter(|_| part.ends_with(".scope")));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            placement.container_name = unescape(name);
            return;
        }
    }
}

/// systemd writes `-` in a name as `\x2d` (systemd.unit(5), "string escaping").
fn unescape(name: &str) -> String {
    name.replace("\\x2d", "-")
}

fn unit(path: &str) -> &str {
    for part in path.split('/').rev() {
        if part.ends_with(".scope") {
            return "";
        }
        if let Some(unit) = part.strip_suffix(".service") {
            // A user's manager says whose the process is, not what; a transient unit's name is new
            // with every run.
            let transient = unit.strip_prefix("run-").is_some_and(|rest| {
                rest.starts_with(['r', 'u', 'p']) && rest.bytes().any(|b| b.is_ascii_digit())
            });
            return if unit.starts_with("user@") || transient { "" } else { unit };
        }
    }
    ""
}

/// The name of a service.
pub(crate) fn service_name(
    placement: &Placement,
    container_name: &str,
    executable: &str,
    arguments: &[&str],
    comm: &str,
) -> String {
    for name in [placement.container_name.as_str(), container_name] {
        if !name.is_empty() {
            return clean(name);
        }
    }
    if placement.container_id.is_empty() && !placement.unit.is_empty() {
        return clean(&placement.unit);
    }
    let program = if executable.is_empty() { comm } else { executable };
    match interpreted(program, arguments) {
        Some((interpreter, script)) => clean(&format!("{interpreter}:{script}")),
        None => clean(program),
    }
}

/// The last part of a path, without the mark of a file that was replaced under the process.
pub(crate) fn base_name(path: &str) -> &str {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

/// The interpreter (its file name up to the first dot) and what it runs.
fn interpreted<'a>(program: &'a str, arguments: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let interpreter = program.split('.').next().unwrap_or(program);
    let family = interpreter.trim_end_matches(|c: char| c.is_ascii_digit());
    // Options whose value is the next argument, and those whose value is what runs.
    let (with_value, names, none): (&[&str], &[&str], &[&str]) = match family {
        "python" | "pypy" => (&["-W", "-X"], &["-m"], &["-c"]),
        "node" | "nodejs" => {
            (&["-r", "--require", "--import", "--loader", "-C"], &[], &["-e", "--eval", "-p"])
        }
        "java" => (
            &["-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"],
            &["-jar", "-m", "--module"],
            &[],
        ),
        "ruby" => (&["-I", "-r", "-C"], &[], &["-e"]),
        "perl" => (&["-I"], &[], &["-e", "-E"]),
        "php" => (&["-c", "-d"], &["-f"], &["-r"]),
        _ => return None,
    };
    let mut rest = arguments.iter().skip(1).copied();
    while let Some(argument) = rest.next() {
        if none.contains(&argument) {
            return None;
        }
        if names.contains(&argument) {
            return script(interpreter, family, rest.next()?);
        }
        if with_value.contains(&argument) {
            rest.next();
        } else if !argument.starts_with('-') {
            return script(interpreter, family, argument);
        }
    }
    None
}

fn script<'a>(interpreter: &'a str, family: &str, argument: &'a str) -> Option<(&'a str, &'a str)> {
    let name = base_name(argument);
    // A class or a module: its own name, not its package's.
    let name = if family == "java" && !name.ends_with(".jar") {
        name.rsplit(['.', '/']).next().unwrap_or(name)
    } else {
        name
    };
    (!name.is_empty()).then_some((interpreter, name))
}

/// A name that an element may bear: no control character, no `|`, at most 255 bytes.
pub(crate) fn clean(name: &str) -> String {
    let name = truncated(name.trim(), MAX_NODE_NAME_BYTES - 8);
    let clean: String =
        name.chars().map(|c| if c.is_control() || c == '|' { '_' } else { c }).collect();
    if clean.is_empty() { "unknown".into() } else { clean }
}

/// The arguments as one line, at most [`MAX_COMMAND_BYTES`], with what looks like a secret replaced:
/// the line travels to other sites.
pub(crate) fn command_line(arguments: &[&str]) -> String {
    let mut line = String::new();
    let mut hide_next = false;
    for argument in arguments {
        if !line.is_empty() {
            line.push(' ');
        }
        let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
        let secret = is_secret(key);
        if hide_next && !argument.starts_with('-')
            || secret && !argument.starts_with('-') && !value.is_empty()
        {
            line.push_str(if value.is_empty() { "***" } else { key });
            line.push_str(if value.is_empty() { "" } else { "=***" });
        } else if secret && !value.is_empty() {
            line.push_str(key);
            line.push_str("=***");
        } else {
            push_without_password(&mut line, argument);
        }
        hide_next = secret && value.is_empty() && argument.starts_with('-');
        if line.len() > MAX_COMMAND_BYTES {
            break;
        }
    }
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    truncated(&line, MAX_COMMAND_BYTES).to_owned()
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["passw", "secret", "token", "apikey", "api-key", "api_key", "credential", "private-key"]
        .iter()
        .any(|word| key.contains(word))
}

/// `scheme://user:password@host` without the password.
fn push_without_password(line: &mut String, argument: &str) {
    if let Some((scheme, rest)) = argument.split_once("://")
        && let Some((user, host)) = rest.split_once('@')
        && let Some((user, _)) = user.split_once(':')
        && !user.contains('/')
    {
        for part in [scheme, "://", user, ":***@", host] {
            line.push_str(part);
        }
    } else {
        line.push_str(argument);
    }
}

/// At most `bytes` bytes of `text`, whole characters.
pub(crate) fn truncated(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn containers_are_known_by_their_control_group() {
        for path in [
            format!("0::/system.slice/docker-{ID}.scope"),
            format!("0::/docker/{ID}"),
            format!("12:memory:/docker/{ID}\n0::/"),
            format!("0::/kubepods.slice/kubepods-pod1f.slice/cri-containerd-{ID}.scope"),
            format!("0::/system.slice/containerd.service/kubepods-pod1f.slice:cri-containerd:{ID}"),
            format!("0::/kubepods.slice/kubepods-besteffort-pod1f.slice/crio-{ID}.scope"),
            format!("0::/machine.slice/libpod-{ID}.scope/container"),
            format!(
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"
            ),
        ] {
            let placement = read_placement(&path);
            assert_eq!(placement.container_id, ID, "{path}");
            assert_eq!(service_name(&placement, "", "postgres", &[], "postgres"), "postgres");
            assert_eq!(service_name(&placement, "orders-db", "postgres", &[], ""), "orders-db");
        }
        for (path, name) in [
            ("0::/lxc.payload.web/system.slice/nginx.service", "web"),
            ("0::/machine.slice/machine-build\\x2dbox.scope/init.scope", "build-box"),
        ] {
            let placement = read_placement(path);
            assert_eq!(service_name(&placement, "", "nginx", &[], "nginx"), name);
        }
    }

    #[test]
    fn what_stands_beside_a_container_is_not_in_it() {
        let placement = read_placement(&format!("0::/machine.slice/libpod-conmon-{ID}.scope"));
        assert_eq!(placement.container_id, "");
        let short = read_placement("0::/docker/0123456789abcdef");
        assert_eq!(short.container_id, "");
    }

    #[test]
    fn units_name_their_services() {
        for (text, name) in [
            ("0::/system.slice/postgresql@15-main.service", "postgresql@15-main"),
            ("1:name=systemd:/system.slice/ssh.service\n0::/", "ssh"),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "foo"),
            ("0::/user.slice/user-1000.slice/user@1000.service", "prog"),
            ("0::/user.slice/user-1000.slice/session-3.scope", "prog"),
            ("0::/system.slice/run-r1f00ba12.service", "prog"),
            ("0::/", "prog"),
            ("", "prog"),
            ("nonsense", "prog"),
        ] {
            assert_eq!(service_name(&read_placement(text), "", "prog", &[], "c"), name, "{text}");
        }
    }

    #[test]
    fn programs_name_the_rest() {
        let name = |program: &str, arguments: &[&str]| {
            service_name(&Placement::default(), "", program, arguments, "kernel-name")
        };
        assert_eq!(name("checkout", &["./checkout", "--port", "1"]), "checkout");
        assert_eq!(name("", &[]), "kernel-name");
        assert_eq!(name("python3.11", &["python3", "-u", "/srv/app.py", "x"]), "python3:app.py");
        assert_eq!(name("python3.11", &["python3", "-m", "http.server"]), "python3:http.server");
        assert_eq!(name("python3.11", &["python3", "-c", "print(1)"]), "python3.11");
        assert_eq!(name("node", &["node", "-r", "x", "server.js"]), "node:server.js");
        assert_eq!(name("java", &["java", "-Xmx1g", "-jar", "/o/shop.jar"]), "java:shop.jar");
        assert_eq!(name("java", &["java", "-cp", "a:b", "com.acme.Main"]), "java:Main");
        assert_eq!(name("ruby3.1", &["ruby", "-I", "lib", "bin/web"]), "ruby3:web");
        assert_eq!(name("perl", &["perl", "daemon.pl"]), "perl:daemon.pl");
        assert_eq!(name("a|b\n", &[]), "a_b");
        assert!(name(&"ü".repeat(400), &[]).len() <= MAX_NODE_NAME_BYTES);
    }

    #[test]
    fn secrets_do_not_travel() {
        let line = command_line(&[
            "db",
            "--password=hunter2",
            "--api-token",
            "hunter3",
            "PGPASSWORD=hunter4",
            "postgres://app:hunter5@db/shop",
            "--port",
            "5432",
        ]);
        assert!(!line.contains("hunter"), "{line}");
        assert!(line.contains("--password=***") && line.contains("postgres://app:***@db/shop"));
        assert!(line.ends_with("--port 5432"), "{line}");
        assert!(command_line(&["x".repeat(9_000).as_str()]).len() <= MAX_COMMAND_BYTES);
        assert_eq!(base_name("/usr/bin/python3.11 (deleted)"), "python3.11");
    }
}
