"""What the tests need from Debian, and how it gets onto the machine.

Run as ``python -m tests.support.packages`` it installs what is missing and starts nothing: no service,
no database cluster of the machine's own.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Program:
    """A program the tests run.

    Attributes:
        name: Name of the executable.
        package: The Debian package that holds it.
        folders: Glob patterns of folders outside ``PATH`` where Debian puts it.
    """

    name: str
    package: str
    folders: tuple[str, ...] = ()

    def find(self) -> Path | None:
        """Return the newest one on this machine, or None."""
        found = [path for pattern in self.folders for path in Path("/").glob(f"{pattern}/{self.name}")]
        if found:
            return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])
        on_path = shutil.which(self.name)
        return Path(on_path) if on_path else None

    def path(self) -> Path:
        """Return where it is.

        Raises:
            FileNotFoundError: It is not on this machine; says what to install.
        """
        found = self.find()
        if found is None:
            message = f"缺少测试所需的程序 {self.name}: run `./shutong test`, or `apt-get install {self.package}`"
            raise FileNotFoundError(message)
        return found


INITDB = Program("initdb", "postgresql", ("usr/lib/postgresql/*/bin",))
POSTGRES = Program("postgres", "postgresql", ("usr/lib/postgresql/*/bin",))
PSQL = Program("psql", "postgresql-client", ("usr/lib/postgresql/*/bin",))
MARIADBD = Program("mariadbd", "mariadb-server-core", ("usr/sbin",))
MARIADB_INSTALL_DB = Program("mariadb-install-db", "mariadb-server-core")
MY_PRINT_DEFAULTS = Program("my_print_defaults", "mariadb-client-core")
PHP = Program("php", "php-cli")
PHP_SOAP = Program("soap.so", "php-soap", ("usr/lib/php/*",))
SSHD = Program("sshd", "openssh-server", ("usr/sbin",))
SFTP = Program("sftp", "openssh-client")
SSH_KEYGEN = Program("ssh-keygen", "openssh-client")
RABBITMQ_SERVER = Program("rabbitmq-server", "rabbitmq-server", ("usr/lib/rabbitmq/bin",))
RABBITMQCTL = Program("rabbitmqctl", "rabbitmq-server", ("usr/lib/rabbitmq/bin",))
EPMD = Program("epmd", "erlang-base")
CHROMIUM = Program("chromium", "chromium")
CURL = Program("curl", "curl")
CHINESE_FONT = Program("wqy-zenhei.ttc", "fonts-wqy-zenhei", ("usr/share/fonts/truetype/wqy",))
PROGRAMS = (
    INITDB,
    POSTGRES,
    PSQL,
    MARIADBD,
    MARIADB_INSTALL_DB,
    MY_PRINT_DEFAULTS,
    PHP,
    PHP_SOAP,
    SSHD,
    SFTP,
    SSH_KEYGEN,
    RABBITMQ_SERVER,
    RABBITMQCTL,
    EPMD,
    CHROMIUM,
    CURL,
    CHINESE_FONT,
)

# The two files it makes are removed afterwards; what a killed run left behind is known by its mark.
INSTALL = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
mark='# made by shutong test while it installs packages; it may be deleted'
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.d/zz-shutong-test.conf
ours() { [ ! -e "$1" ] || grep -qxF "$mark" "$1"; }
restore() { for file in "$policy" "$clusters"; do if ours "$file"; then rm -f "$file"; fi; done; }
trap restore EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if ours "$policy"; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy"
    chmod 755 "$policy"
fi
mkdir -p "${clusters%/*}"
printf '%s\ncreate_main_cluster = false\n' "$mark" > "$clusters"
set -- -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"
apt-get -qq -o DPkg::Lock::Timeout=600 update || echo 'the package lists could not all be renewed'
apt-get "$@" < /dev/null
"""


def missing() -> list[str]:
    """Return the Debian packages that hold what this machine lacks."""
    return sorted({program.package for program in PROGRAMS if program.find() is None})


def install(packages: list[str]) -> str | None:
    """Install Debian packages without starting any service.

    Args:
        packages: Names of Debian packages.

    Returns:
        None if all went well, else what the user can do.
    """
    advice = f"请管理员安装 / ask the administrator for: apt-get install {shlex.join(packages)}"
    if not shutil.which("apt-get"):
        return f"本机没有 apt-get，无法安装测试所需的软件 / no apt-get here. {advice}"
    as_root = []
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            return f"不是 root，也没有 sudo / neither root nor sudo. {advice}"
        as_root = ["sudo"]
    done = subprocess.run(
        [*as_root, "sh", "-c", INSTALL, "sh", *packages], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        tail = done.stdout.decode(errors="replace").splitlines()[-25:]
        return "\n".join([*tail, f"安装失败 / the installation failed (status {done.returncode}). {advice}"])
    return None


def main() -> int:
    """Install what is missing; say what is done on standard error."""
    packages = missing()
    if not packages:
        return 0
    sys.stderr.write(f"数通：正在安装测试所需的软件 / installing what the tests need: {' '.join(packages)}\n")
    trouble = install(packages)
    if trouble:
        sys.stderr.write(trouble + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
