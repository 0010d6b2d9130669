"""An archive from a server to a directory; what stands there is whole, or it is not there."""

import logging
import shutil
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from recsys_lightning.errors import InputError
from recsys_lightning.writing import making_folder

log = logging.getLogger(__name__)

LARGEST_RATIO = 100  # of unpacked to packed; MovieLens-1M has 4


def fetch(url: str, checksum: str | None, directory: Path, names: Collection[str]) -> None:
    """Downloads a zip archive next to `directory` and unpacks some of its files into it.

    An archive that is there already is not downloaded again: it may be put there by hand.

    Args:
        url: of the archive.
        checksum: `md5:...` or `sha256:...`; None: not checked.
        directory: made by this; the archive's own directories are dropped.
        names: the files wanted, those the archive has.

    Raises:
        InputError: the server, the checksum, or the archive.
    """
    archive = directory.parent / PurePosixPath(urlsplit(url).path).name
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _download(url, checksum, archive)
        _unpack(archive, directory, names)
    except OSError as error:
        raise InputError(f"data.root={directory.parent}: cannot be written: {error}") from None


def _download(url: str, checksum: str | None, archive: Path) -> None:
    import pooch
    from requests import HTTPError, RequestException

    if checksum is None:
        log.warning("data.checksum is null: %s is used unchecked", url)
    if not archive.exists():
        log.info("downloading %s to %s", url, archive)
    pooch.get_logger().setLevel("WARNING")
    try:
        with _Progress(archive.name) as progress:
            pooch.retrieve(
                url,
                checksum,
                fname=archive.name,
                path=archive.parent,
                downloader=pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16),
            )
    except HTTPError as error:
        raise InputError(f"data.url: the server answered {error}; check the address") from None
    except RequestException as error:
        raise InputError(
            f"data.url={url}: the download failed ({type(error).__name__}); try again, "
            f"or download it by other means to {archive}"
        ) from None
    except ValueError as error:
        raise InputError(f"data.url={url}, data.checksum={checksum}: {error}") from None


def _unpack(archive: Path, directory: Path, names: Collection[str]) -> None:
    try:
        with making_folder(directory) as scratch, zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if PurePosixPath(m.filename).name in names]
            size = sum(member.file_size for member in members)
            if size > LARGEST_RATIO * archive.stat().st_size:
                raise InputError(
                    f"{archive}: not unpacked: {size / 1e6:.1f} MB of files are more than "
                    f"{LARGEST_RATIO} times its size"
                )
            for member in members:
                name = PurePosixPath(member.filename).name
                with opened.open(member) as source, (scratch / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        archive.unlink()
        raise InputError(
            f"{archive}: is damaged ({error}) and was removed; run again to download it again"
        ) from None


class _Progress:
    """A rich progress bar with the four members that pooch expects of a tqdm."""

    def __init__(self, description: str) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TimeRemainingColumn

        console = Console(stderr=True)
        self.progress = Progress(
            *Progress.get_default_columns()[:2],
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task(description, total=None)

    def __enter__(self) -> "_Progress":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    @property
    def total(self) -> float | None:
        return self.progress.tasks[0].total

    @total.setter
    def total(self, total: int) -> None:
        self.progress.update(self.task, total=total or None)

    def update(self, amount: int) -> None:
        self.progress.advance(self.task, amount)

    def reset(self) -> None:
        self.progress.update(self.task, completed=0)

    def close(self) -> None:
        """`__exit__` closes it."""
