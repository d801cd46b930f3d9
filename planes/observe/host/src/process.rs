//! Who a process is: read from `/proc` at once, kept by (process, start), bounded.
//!
//! A process that is gone before it is read still has what the kernel noted: its name and control
//! group, which name its service if a brother of it was read before.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::container;
use crate::naming::{self, Placement};
use crate::seen::KernelProcess;

/// Most processes kept at once.
const MAX_PROCESSES: usize = 8_192;
/// Most services kept at once: those that no connection, listener or process refers to make room.
const MAX_SERVICES: usize = 4_096;
/// Clock ticks of `/proc/<pid>/stat` in a second (`USER_HZ`), on every architecture Linux has.
const TICK_NS: u64 = 1_000_000_000 / 100;

/// A service: what processes of one name are together.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// Stands for the name in keys; not used again.
    pub id: u32,
    /// Its name, valid in an element id.
    pub name: Box<str>,
}

/// A process, as far as it could be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// When it began, in ticks since boot; 0 if that is not known.
    pub start_ticks: u64,
    /// The service it is of; `None` when there are too many.
    pub service: Option<Arc<Service>>,
    /// File name of its executable, or the kernel's name for it.
    pub executable: Box<str>,
    /// Its command line without secrets; empty if it was gone.
    pub command: Box<str>,
    /// Path of its control group; empty if not known.
    pub cgroup: Box<str>,
    /// Id of its container; empty if it is in none.
    pub container_id: Box<str>,
}

/// Counters of the bounds in here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessCounters {
    /// Read from `/proc`.
    pub read: u64,
    /// Gone before they could be read.
    pub gone: u64,
    /// Forgotten to make room.
    pub forgotten: u64,
    /// Left without a service: too many services.
    pub services_refused: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    start_ticks: u64,
    // A process that became another program by exec is another one.
    comm: [u8; 16],
}

/// The processes known.
pub struct Processes {
    proc_root: PathBuf,
    containers: container::Names,
    known: HashMap<Key, Arc<Process>>,
    /// The last process read of a name and control group: what a vanished one is named after.
    brothers: HashMap<([u8; 16], u64), Arc<Process>>,
    services: HashMap<Box<str>, Arc<Service>>,
    next_service: u32,
    counters: ProcessCounters,
}

impl Processes {
    /// Reads below `root`, which is `/` except in tests.
    pub fn new(root: PathBuf) -> Self {
        Self {
            proc_root: root.join("proc"),
            containers: container::Names::new(root),
            known: HashMap::new(),
            brothers: HashMap::new(),
            services: HashMap::new(),
            next_service: 0,
            counters: ProcessCounters::default(),
        }
    }

    /// The process that the kernel told of.
    pub fn of_kernel(&mut self, told: &KernelProcess) -> Arc<Process> {
        let key = Key { pid: told.pid, start_ticks: told.start_ns / TICK_NS, comm: told.comm };
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        let start = (told.start_ns != 0).then_some(key.start_ticks);
        let brother = (told.comm, told.cgroup);
        let process = match self.read(told.pid, start) {
            Some((process, _)) => {
                self.make_room();
                self.brothers.insert(brother, Arc::clone(&process));
                process
            }
            None => {
                self.counters.gone += 1;
                self.make_room();
                self.vanished(told.pid, self.brothers.get(&brother).cloned(), &told.comm)
            }
        };
        // Without its start a process id may come to mean another process.
        if start.is_some() {
            self.known.insert(key, Arc::clone(&process));
        }
        process
    }

    /// The process `pid`, if it can be read.
    pub fn of_pid(&mut self, pid: u32) -> Option<Arc<Process>> {
        let (process, key) = self.read(pid, None)?;
        if let Some(known) = self.known.get(&key) {
            return Some(Arc::clone(known));
        }
        self.make_room();
        self.known.insert(key, Arc::clone(&process));
        Some(process)
    }

    /// Whether a process lives: not where its start is not known, nor where another has its id.
    pub(crate) fn live(&self, process: &Process) -> bool {
        let path = self.proc_root.join(process.pid.to_string()).join("stat");
        let start = read_bounded(path, 4_096).and_then(|stat| Some(parse_stat(&stat)?.1));
        process.start_ticks > 0 && start.is_some_and(|s| s.abs_diff(process.start_ticks) <= 1)
    }

    /// The counters so far.
    pub fn counters(&self) -> ProcessCounters {
        self.counters
    }

    /// How many processes are kept.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn read(&mut self, pid: u32, start_ticks: Option<u64>) -> Option<(Arc<Process>, Key)> {
        let folder = self.proc_root.join(pid.to_string());
        let stat = read_bounded(folder.join("stat"), 4_096)?;
        let (comm, start) = parse_stat(&stat)?;
        // Another process by now, or a process id of another pid namespace. The kernel rounds.
        if start_ticks.is_some_and(|expected| expected.abs_diff(start) > 1) {
            return None;
        }
        let executable = std::fs::read_link(folder.join("exe")).unwrap_or_default();
        let executable = naming::base_name(&executable.to_string_lossy()).to_owned();
        let arguments = read_bounded(folder.join("cmdline"), 8_192).unwrap_or_default();
        let arguments: Vec<&str> =
            arguments.split('\0').filter(|argument| !argument.is_empty()).collect();
        let cgroup = read_bounded(folder.join("cgroup"), 16_384).unwrap_or_default();
        let placement = naming::read_placement(&cgroup);
        let process = self.process((pid, start), &placement, &executable, &arguments, comm);
        self.counters.read += 1;
        let mut key = Key { pid, start_ticks: start, comm: [0; 16] };
        let length = comm.len().min(15);
        key.comm[..length].copy_from_slice(&comm.as_bytes()[..length]);
        Some((Arc::new(process), key))
    }

    fn process(
        &mut self,
        (pid, start_ticks): (u32, u64),
        placement: &Placement,
        executable: &str,
        arguments: &[&str],
        comm: &str,
    ) -> Process {
        let container = self.containers.name(&placement.container_id);
        let name = naming::service_name(placement, container, executable, arguments, comm);
        let executable = if executable.is_empty() { comm } else { executable };
        Process {
            pid,
            start_ticks,
            service: self.service(&name),
            executable: naming::clean(executable).into(),
            command: naming::command_line(arguments).into(),
            cgroup: placement.path.as_str().into(),
            container_id: placement.container_id.as_str().into(),
        }
    }

    fn vanished(
        &mut self,
        pid: u32,
        brother: Option<Arc<Process>>,
        comm: &[u8; 16],
    ) -> Arc<Process> {
        let length = comm.iter().position(|&b| b == 0).unwrap_or(comm.len());
        let comm = naming::clean(&String::from_utf8_lossy(&comm[..length]));
        Arc::new(match brother {
            Some(brother) => Process {
                pid,
                start_ticks: 0,
                service: brother.service.clone(),
                executable: brother.executable.clone(),
                command: "".into(),
                cgroup: brother.cgroup.clone(),
                container_id: brother.container_id.clone(),
            },
            None => Process {
                pid,
                start_ticks: 0,
                service: self.service(&comm),
                executable: comm.into(),
                command: "".into(),
                cgroup: "".into(),
                container_id: "".into(),
            },
        })
    }

    fn service(&mut self, name: &str) -> Option<Arc<Service>> {
        if let Some(known) = self.services.get(name) {
            return Some(Arc::clone(known));
        }
        if self.services.len() >= MAX_SERVICES {
            self.services.retain(|_, service| Arc::strong_count(service) > 1);
        }
        if self.services.len() >= MAX_SERVICES {
            self.counters.services_refused += 1;
            return None;
        }
        let service = Arc::new(Service { id: self.next_service, name: name.into() });
        self.next_service = self.next_service.wrapping_add(1);
        self.services.insert(name.into(), Arc::clone(&service));
        Some(service)
    }

    /// Forgets processes that nothing refers to, or all: they are read again when they are seen.
    fn make_room(&mut self) {
        if self.known.len() < MAX_PROCESSES && self.brothers.len() < MAX_PROCESSES {
            return;
        }
        let before = self.known.len();
        self.brothers.clear();
        self.known.retain(|_, process| Arc::strong_count(process) > 1);
        if self.known.len() >= MAX_PROCESSES / 2 {
            self.known.clear();
        }
        self.counters.forgotten += (before - self.known.len()) as u64;
    }
}

/// Name and start (in ticks since boot) out of `/proc/<pid>/stat` (proc_pid_stat(5), fields 2 and
/// 22). The name may itself contain `)` and spaces.
fn parse_stat(stat: &str) -> Option<(&str, u64)> {
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let comm = stat.get(open + 1..close)?;
    let start = stat.get(close + 1..)?.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some((comm, start))
}

/// The first `most` bytes of a file as text; what is not UTF-8 is replaced.
pub(crate) fn read_bounded(path: PathBuf, most: u64) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn write_process(root: &Path, pid: u32, comm: &str, start: u64, cmdline: &str, cgroup: &str) {
        let folder = root.join("proc").join(pid.to_string());
        fs::create_dir_all(&folder).expect("a folder");
        let stat = format!("{pid} ({comm}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0");
        fs::write(folder.join("stat"), stat).expect("written");
        fs::write(folder.join("cmdline"), cmdline).expect("written");
        fs::write(folder.join("cgroup"), cgroup).expect("written");
        let _ = fs::remove_file(folder.join("exe"));
        std::os::unix::fs::symlink(format!("/usr/bin/{comm}"), folder.join("exe")).expect("linked");
    }

    fn told(pid: u32, comm: &str, start_ns: u64) -> KernelProcess {
        let mut name = [0; 16];
        name[..comm.len()].copy_from_slice(comm.as_bytes());
        KernelProcess { pid, start_ns, comm: name, cgroup: 7 }
    }

    #[test]
    fn a_process_is_read_once_and_kept_by_its_start() {
        let root = tempfile::tempdir().expect("a folder");
        write_process(root.path(), 40, "checkout", 100, "checkout\0--port\0x1", "0::/a.service");
        let mut processes = Processes::new(root.path().into());
        let first = processes.of_kernel(&told(40, "checkout", 1_000_000_000));
        assert_eq!(first.service.as_ref().expect("named").name.as_ref(), "a");
        assert_eq!(first.command.as_ref(), "checkout --port x1");
        let again = processes.of_kernel(&told(40, "checkout", 1_000_000_000));
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(processes.counters().read, 1);
    }

    #[test]
    fn a_process_id_that_was_used_again_is_not_mistaken() {
        let root = tempfile::tempdir().expect("a folder");
        write_process(root.path(), 40, "other", 900, "other", "0::/");
        let mut processes = Processes::new(root.path().into());
        let gone = processes.of_kernel(&told(40, "checkout", 1_000_000_000));
        assert_eq!(gone.service.as_ref().expect("named").name.as_ref(), "checkout");
        assert_eq!(processes.counters().gone, 1);
    }

    #[test]
    fn a_vanished_process_is_named_after_its_brother() {
        let root = tempfile::tempdir().expect("a folder");
        write_process(root.path(), 40, "worker", 100, "worker", "0::/system.slice/jobs.service");
        let mut processes = Processes::new(root.path().into());
        let read = processes.of_kernel(&told(40, "worker", 1_000_000_000));
        let gone = processes.of_kernel(&told(41, "worker", 2_000_000_000));
        assert_eq!(gone.service, read.service);
        assert_eq!(gone.command.as_ref(), "");
    }

    #[test]
    fn an_odd_name_does_not_confuse_the_reader() {
        let stat = "7 (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0";
        assert_eq!(parse_stat(stat), Some(("a) b (c", 4711)));
        for bad in ["", "7", "7 (a", "7 )a(", "7 (a) S 1"] {
            assert_eq!(parse_stat(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_table_of_processes_is_bounded() {
        let root = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::new(root.path().into());
        for pid in 0..3 * MAX_PROCESSES as u32 {
            processes.of_kernel(&told(pid, &format!("p{pid}"), 1_000_000_000));
        }
        assert!(processes.len() <= MAX_PROCESSES && processes.services.len() <= MAX_SERVICES);
        assert!(processes.counters().forgotten > 0);
    }
}
