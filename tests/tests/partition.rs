//! A host whose network is cut: packets vanish, nothing is refused. The link is a real
//! one between two name spaces of the kernel; one end is taken down and up again.

mod common;

use common::postgres::Cluster;
use common::{COUNTED, Host, Scaled, counting};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than a lease, its grace and the office of the leader together.
const CUT: Duration = Duration::from_secs(16);
const STEPS: usize = 36;

/// Where the servers are, as seen over the link.
const FAR: &str = "10.99.0.2";
/// Makes the link and the name space behind it, then obeys words.
const LINK: &str = r#"
set -e
ip link set lo up
unshare --net sleep infinity & far=$!
trap 'kill $far' EXIT
until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
there() { nsenter --net --target $far "$@"; }
ip link add near type veth peer name far
ip link set far netns $far
ip addr add 10.99.0.1/24 dev near
ip link set near up
there ip link set lo up
there ip addr add 10.99.0.2/24 dev far
there ip link set far up
nsenter --net --target $far python3 -c "$FORWARD" "$@" & forward=$!
trap 'kill $far $forward' EXIT
until python3 -c 'import socket; socket.create_connection(("10.99.0.2", 5432), 1)' 2>/dev/null
do sleep 0.05; done
echo ready
while read -r word; do
  there ip link set far "$word"
  echo done
done
"#;
/// Carries bytes between ports over there and the sockets of the servers.
const FORWARD: &str = r#"
import asyncio, sys
async def carry(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
def to(path):
    async def serve(reader, writer):
        try:
            there = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, there[1]), carry(there[0], writer))
    return serve
async def main():
    for port, path in zip(sys.argv[1::2], sys.argv[2::2]):
        await asyncio.start_server(to(path), "10.99.0.2", int(port))
    await asyncio.Event().wait()
asyncio.run(main())
"#;

/// A link between a name space of the network and the servers.
struct Link {
    holder: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Link {
    fn to(postgres: &Path, redis: &Path) -> Self {
        let mut command = Command::new("unshare");
        command.args(common::as_root());
        let mut holder = command
            .args(["--net", "bash", "-c", LINK, "link", "5432"])
            .arg(postgres)
            .arg("6379")
            .arg(redis)
            .env("FORWARD", FORWARD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is a program of util-linux");
        let said = BufReader::new(holder.stdout.take().unwrap());
        let mut link = Self { holder, said };
        link.hears("ready");
        link
    }

    #[track_caller]
    fn hears(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word, "ip comes with Debian's package iproute2");
    }

    fn tell(&mut self, word: &str, answer: &str) {
        writeln!(self.holder.stdin.as_mut().unwrap(), "{word}").unwrap();
        self.hears(answer);
    }

    /// From now on packets vanish.
    fn cut(&mut self) {
        self.tell("down", "done");
    }

    fn mend(&mut self) {
        self.tell("up", "done");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A host that reaches the servers over the link alone.
fn behind(link: &Link, installation: &Scaled<'_>) -> Host {
    let mut host = installation.host("behind");
    host.network = Some(link.holder.id());
    let database = &installation.database.name;
    let (user, password) = (common::postgres::USER, common::postgres::PASSWORD);
    let password = password.replace(' ', "%20");
    host.settings = vec![
        (
            "ALMA_LEDGER__URL".to_owned(),
            format!("postgresql://{user}:{password}@{FAR}:5432/{database}"),
        ),
        ("ALMA_QUEUE__URL".to_owned(), format!("redis://{FAR}:6379")),
    ];
    host
}

#[test]
fn a_host_that_is_cut_off_loses_its_work_to_the_others_and_doubles_nothing() {
    let cluster = Cluster::shared();
    let installation = Scaled::new(cluster);
    let mut link = Link::to(&cluster.socket(), &installation.redis.socket());
    let there = installation.host("there");
    let cut_off = behind(&link, &installation);
    let lonely = cut_off.worker();
    let names: Vec<String> = (0..STEPS).map(|n| n.to_string()).collect();
    let steps: Vec<_> = names.iter().map(|name| ("count_keyed", name.as_str(), 400)).collect();
    let mission = there.submit(&counting(&steps));
    installation.until("it works", || Some(()).filter(|()| installation.effects().1 >= 8));
    let (term, _) = installation.leader().unwrap();
    link.cut();
    let (cut, before) = (Instant::now(), installation.effects().1);
    let others = there.worker();
    assert_eq!(there.wait(&mission), COUNTED, "the other host does it all");
    let ended = cut.elapsed();
    assert!(before < 2 * STEPS as u32, "it was over before the cut");
    assert!(installation.leader().unwrap().0 > term, "the one that was cut off leads no more");
    std::thread::sleep(CUT.saturating_sub(cut.elapsed()));
    link.mend();
    // What was under way arrives now, and is refused.
    std::thread::sleep(Duration::from_secs(5));
    // One for the call of each step and one for its act.
    let (intents, receipts) = installation.effects();
    assert_eq!(receipts as usize, 2 * STEPS, "{intents} intents; ended {ended:?} after the cut");
    for name in &names {
        assert_eq!(installation.counted(name), 1, "{name}");
    }
    // It finds back by itself.
    others.stop().says(0, &[]);
    let mission = there.submit(&counting(&[("count_keyed", "again", 1)]));
    assert_eq!(there.wait(&mission), COUNTED);
    assert_eq!(installation.counted("again"), 1);
    lonely.stop().says(0, &[]);
    there.intact();
}
