"""What apt says about kernels, and about its failures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chaoskernel.errors import LabError
from chaoskernel.lab import apt

LISTS = Path("/var/lib/apt/lists")

BOOKWORM = {
    "linux-image-amd64": "Depends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)",
    "linux-image-6.1.0-56-amd64": (
        "Installed-Size: 400652\nSize: 70550672\n"
        "Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120) | linux-initramfs-tool"
    ),
    "linux-image-6.12-amd64": "Depends: linux-image-6.12.117+deb12-amd64 (= 6.1.192-2)",
    "linux-image-6.12.117+deb12-amd64": "Depends: kmod, initramfs-tools | linux-initramfs-tool",
    "linux-image-6.12.117+deb12-amd64-unsigned": "Depends: kmod",
    "bash": "Pre-Depends: libc6 (>= 2.36)",
}
UNSTABLE = {
    "linux-image-amd64": (
        "Depends: linux-base-amd64 (= 6.1.192-2), linux-image-7.2.13+deb14-amd64 (= 6.1.192-2)"
    ),
    "linux-base-amd64": "Depends: linux-base-7.2.13+deb14-amd64 (= 6.1.192-2)",
    "linux-image-7.2.13+deb14-amd64": (
        "Depends: dracut | initramfs-tools, linux-base-7.2.13+deb14-amd64 (= 6.1.192-2), "
        "linux-binary-7.2.13+deb14-amd64 (= 6.1.192-2), "
        "linux-modules-7.2.13+deb14-amd64 (= 6.1.192-2)\nPre-Depends: linux-base (>= 4.17~)"
    ),
    "linux-base-7.2.13+deb14-amd64": "Installed-Size: 963",
    "linux-binary-7.2.13+deb14-amd64": "Depends: linux-base-7.2.13+deb14-amd64 (= 6.1.192-2)",
    "linux-binary-unsigned-7.2.13+deb14-amd64": "Installed-Size: 14219",
    "linux-modules-7.2.13+deb14-amd64": "Depends: kmod",
}
UBUNTU = {
    "linux-image-generic": (
        "Depends: linux-image-6.8.0-50-generic, linux-modules-extra-6.8.0-50-generic, "
        "linux-firmware, intel-microcode"
    ),
    "linux-image-6.8.0-50-generic": (
        "Depends: kmod, linux-base (>= 4.5ubuntu1), linux-modules-6.8.0-50-generic"
    ),
    "linux-modules-6.8.0-50-generic": "Size: 1",
    "linux-modules-extra-6.8.0-50-generic": "Size: 1",
    "linux-firmware": "Size: 500000000",
}


def names(name: str, archive: dict[str, str]) -> list[str]:
    def show(asked: str) -> apt.Stanza | None:
        package, _, version = asked.partition("=")
        if package not in archive or version not in ("", "6.1.192-2"):
            return None
        return apt.stanza(f"Package: {package}\nVersion: 6.1.192-2\n{archive[package]}\n")

    return [package.name for package in apt.parts(name, show)]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("linux-image-amd64", "linux-image-6.1.0-56-amd64"),
        ("linux-image-amd64=6.1.192-2", "linux-image-6.1.0-56-amd64"),
        ("linux-image-6.1.0-56-amd64", "linux-image-6.1.0-56-amd64"),
        ("linux-image-6.12-amd64", "linux-image-6.12.117+deb12-amd64"),
        (
            "linux-image-6.12.117+deb12-amd64-unsigned",
            "linux-image-6.12.117+deb12-amd64-unsigned",
        ),
    ],
)
def test_a_package_that_stands_for_a_kernel_is_followed_to_it(name: str, image: str) -> None:
    assert names(name, BOOKWORM)[0] == image


def test_the_parts_of_a_split_kernel_are_all_taken() -> None:
    parts = {
        "linux-image-7.2.13+deb14-amd64",
        "linux-base-7.2.13+deb14-amd64",
        "linux-binary-7.2.13+deb14-amd64",
        "linux-modules-7.2.13+deb14-amd64",
    }
    found = names("linux-image-amd64", UNSTABLE)
    assert found[0] == "linux-image-7.2.13+deb14-amd64"
    assert set(found) == parts
    assert len(found) == len(parts)


def test_an_unsigned_image_gets_its_modules() -> None:
    assert names("linux-binary-unsigned-7.2.13+deb14-amd64", UNSTABLE) == [
        "linux-binary-unsigned-7.2.13+deb14-amd64",
        "linux-modules-7.2.13+deb14-amd64",
    ]


def test_firmware_is_no_part_of_a_kernel() -> None:
    assert set(names("linux-image-generic", UBUNTU)) == {
        "linux-image-6.8.0-50-generic",
        "linux-modules-6.8.0-50-generic",
        "linux-modules-extra-6.8.0-50-generic",
    }


@pytest.mark.parametrize("name", ["bash", "linux-image-6.1.0-56-amd64-dbg"])
def test_a_package_without_a_kernel_is_refused_before_its_download(name: str) -> None:
    with pytest.raises(LabError, match=rf"--package: '{name}' has .*no kernel; "):
        names(name, BOOKWORM)


def test_sizes_are_bytes() -> None:
    text = BOOKWORM["linux-image-6.1.0-56-amd64"]
    fields = apt.stanza(f"Package: linux-image-6.1.0-56-amd64\nVersion: 6.1.192-2\n{text}")
    assert apt.parts("linux-image-6.1.0-56-amd64", lambda _: fields) == (
        apt.Package("linux-image-6.1.0-56-amd64", "6.1.192-2", 70550672, 400652 * 1024),
    )


def test_a_stanza_ends_at_the_first_empty_line_and_continued_lines_are_no_fields() -> None:
    text = "Package: a\nDescription: one\n more: of it\nTag: x:y\n\nPackage: b\n"
    assert apt.stanza(text) == {"Package": "a", "Description": "one", "Tag": "x:y"}


def test_near_names_can_be_booted() -> None:
    known = ["linux-image-6.1.0-56-amd64", "linux-image-6.1.0-56-amd64-dbg", "linux-image-rt-amd64"]
    assert apt.near_names("linux-image-6.1.0-5-amd64=6.1", known)[0] == known[0]
    assert known[1] not in apt.near_names(known[1], known)
    assert apt.near_names("zsh", known) == []


@pytest.mark.parametrize(
    ("targets", "mirror", "origin"),
    [
        (
            "Debian http://deb.debian.org/debian-security/ bookworm-security\n"
            "nodesource https://deb.nodesource.com/node_20.x/ nodistro\n"
            "Debian http://mirror.example/linux/ bookworm\n",
            "http://mirror.example/linux/",
            "Debian",
        ),
        # Without lists, apt does not know the origin.
        (
            "$(ORIGIN) https://other.example/stuff/ main\n"
            "$(ORIGIN) http://mirror.example/ubuntu/ noble\n",
            "http://mirror.example/ubuntu/",
            "Ubuntu",
        ),
        ("", "http://deb.debian.org/debian/", "Debian"),
    ],
)
def test_another_suite_is_asked_of_the_machines_own_mirror(
    targets: str, mirror: str, origin: str
) -> None:
    assert apt.distribution(targets) == (mirror, origin)


def test_a_source_is_bound_to_its_distributions_keys() -> None:
    line = apt.source_line("http://m/debian/", "unstable", Path("/keys.gpg"))
    assert line == "deb [signed-by=/keys.gpg] http://m/debian/ unstable main\n"
    assert "[" not in apt.source_line("http://m/debian/", "unstable", None)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "W: GPG error: http://m/debian/ new InRelease: The following signatures couldn't be "
            "verified because the public key is not available: NO_PUBKEY 6ED0E7B82643E131\n"
            "E: The repository 'http://m/debian/ new InRelease' is not signed.\n",
            r"not signed by a key .* \(NO_PUBKEY 6ED0E7B82643E131\); install a newer",
        ),
        (
            "E: The repository 'http://m/debian/ new Release' does not have a Release file.\n",
            r"--suite: http://m/debian/ has no suite 'new'; give one such as",
        ),
        (
            "E: Failed to fetch http://m/x  Error writing to file - write (28: No space left on "
            "device)\nE: Some index files failed to download.\n",
            r"disk of the lab's cache is full; .*CHAOSKERNEL_CACHE",
        ),
        (
            "W: something\nE: Failed to fetch http://m/x  Could not resolve 'm'\nE: Some index "
            "files failed to download.\n",
            r"cannot fetch: Failed to fetch http://m/x Could not resolve 'm'; check the network",
        ),
        ("", "gave no reason"),
    ],
)
def test_a_failure_of_apt_is_one_line_with_a_remedy(output: str, message: str) -> None:
    error = apt.failure(output, "new", "http://m/debian/")
    assert "\n" not in str(error)
    with pytest.raises(LabError, match=message):
        raise error


def test_only_a_lost_connection_counts_as_unreachable() -> None:
    unsigned = "E: The repository 'http://m new InRelease' is not signed.\n"
    assert not isinstance(apt.failure(unsigned, "new", "http://m"), apt.Unreachable)
    assert isinstance(apt.failure("E: Failed to fetch x\n", "new", "http://m"), apt.Unreachable)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a list of sources with an unsigned repository, for a careless apt with a hook."""
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/Packages").touch()
    (tmp_path / "repository/Release").write_text("Origin: Debian\nSuite: here\n")
    sources = tmp_path / "sources.list"
    sources.write_text(f"deb file:{tmp_path}/repository ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{sources}";\nDir::Etc::SourceParts "/dev/null";\n'
        'Acquire::AllowInsecureRepositories "true";\n'
        f'APT::Update::Pre-Invoke {{"touch {tmp_path}/hook";}};\n'
        f'APT::Update::Post-Invoke {{"touch {tmp_path}/hook";}};\n'
        f'APT::Update::Post-Invoke-Success {{"touch {tmp_path}/hook";}};\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setattr("chaoskernel.lab.parent_death.tied", list)
    return sources


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt here")
def test_an_unsigned_repository_is_refused_even_when_the_machine_is_careless(
    tmp_path: Path, repository: Path
) -> None:
    with pytest.raises(LabError, match="not signed by a key that this machine trusts"):
        apt.Archive(tmp_path / "state").refresh()
    assert repository.exists()
    assert not (tmp_path / "hook").exists()


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt here")
def test_apts_lists_are_the_labs_own_and_its_hooks_do_not_run(
    tmp_path: Path, repository: Path
) -> None:
    text = repository.read_text().replace("deb ", "deb [trusted=yes] ")
    repository.write_text(text)  # which the machine's owner may do, and the lab does not
    own = sorted((str(path), path.stat().st_mtime_ns) for path in LISTS.glob("*"))
    apt.Archive(tmp_path / "state").refresh()
    assert list((tmp_path / "state/lists").glob("*repository*Packages*"))
    assert not (tmp_path / "hook").exists()
    assert sorted((str(path), path.stat().st_mtime_ns) for path in LISTS.glob("*")) == own
