#!/usr/bin/env python3
"""archive.py DIRECTORY ARCHIVE SECONDS: writes the directory as ARCHIVE (.tar.gz or .zip), under its own name.

The same files give the same bytes, whoever packs them, where and when: names in order, one owner, one time
(SECONDS after 1970), and of the permissions only whether a file is executable.
"""

import gzip
import os
import sys
import tarfile
import time
import zipfile


def names(directory):
    """Every directory and file below, itself first, in the order of their bytes."""
    yield directory
    for entry in sorted(os.listdir(directory), key=os.fsencode):
        path = os.path.join(directory, entry)
        if os.path.islink(path):
            sys.exit(f"archive.py: {path} is a link; an installer need not keep it, put the file there")
        if os.path.isdir(path):
            yield from names(path)
        else:
            yield path


def mode(path):
    return 0o755 if os.path.isdir(path) or os.stat(path).st_mode & 0o100 else 0o644


def tar_gz(root, archive, seconds):
    with open(archive, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in names(root):
                member = tarfile.TarInfo(path)
                member.mode = mode(path)
                member.mtime = seconds
                if os.path.isdir(path):
                    member.type = tarfile.DIRTYPE
                    tar.addfile(member)
                else:
                    member.size = os.path.getsize(path)
                    with open(path, "rb") as file:
                        tar.addfile(member, file)


def zip_file(root, archive, seconds):
    # A zip knows no times before 1980.
    when = time.gmtime(max(seconds, 315532800))[:6]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in names(root):
            directory = os.path.isdir(path)
            member = zipfile.ZipInfo(path.replace(os.sep, "/") + ("/" if directory else ""), when)
            member.create_system = 3
            member.external_attr = (0o040000 if directory else 0o100000 | mode(path)) << 16
            member.compress_type = zipfile.ZIP_STORED if directory else zipfile.ZIP_DEFLATED
            data = b""
            if not directory:
                with open(path, "rb") as file:
                    data = file.read()
            packed.writestr(member, data)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    directory, archive, seconds = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), int(sys.argv[3])
    os.chdir(os.path.dirname(directory))
    write = zip_file if archive.endswith(".zip") else tar_gz
    write(os.path.basename(directory), archive, seconds)


main()
