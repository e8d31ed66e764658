#!/bin/sh
# Install edgeface from this clone as a service, where there is no package: see docs/install.md. Run again, it upgrades.
set -eu
umask 022

usage() {
    cat <<'END'
Usage: sudo sh deploy/install.sh [--dry-run] [--uninstall [--purge]]

Installs edgeface into /opt/edgeface with the pinned wheels, as a service that is not started yet. Run again, it upgrades, and keeps
settings and gallery.

  --dry-run    say what would be done, and do nothing
  --uninstall  remove the program, and leave settings and gallery
  --purge      with --uninstall: remove those too
END
}

dry='' uninstall='' purge='' running=''
for word; do
    case $word in
    --dry-run) dry=1 ;;
    --uninstall) uninstall=1 ;;
    --purge) purge=1 ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
    esac
done

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

# Say a command, and run it unless this is a rehearsal.
run() {
    echo "+ $*"
    [ -n "$dry" ] || "$@"
}

[ -z "$purge" ] || [ -n "$uninstall" ] || fail "--purge goes with --uninstall" 2
cd "$(dirname "$0")/.."
if [ -z "$dry" ] && [ "$(id -u)" != 0 ]; then
    fail "run it as root: sudo sh deploy/install.sh; --dry-run needs no root"
fi
if [ "$(dpkg-query -W -f '${Status}' edgeface 2>/dev/null)" = "install ok installed" ]; then
    fail "the package edgeface is installed: use apt, or remove it first (sudo apt remove edgeface)"
fi
home=/opt/edgeface settings=/etc/edgeface/edgeface.toml units=/etc/systemd/system share=/usr/local/share
if [ -d /run/systemd/system ]; then
    running=1
fi

if [ -n "$uninstall" ]; then
    echo "Removing edgeface${purge:+, its settings and its gallery}"
    # What is not there any more cannot be stopped.
    if [ -n "$running" ] && [ -e "$units/edgeface.service" ]; then
        run systemctl stop edgeface.service 'edgeface@*.service'
    fi
    run find "$units" -type l '(' -name edgeface.service -o -name 'edgeface@*.service' ')' -delete
    run rm -rf "$home" /usr/local/bin/edgeface
    for unit in edgeface.service edgeface@.service; do
        run rm -f "$units/$unit" "$units/$unit.d/backoff.conf"
    done
    run rm -f /etc/sysusers.d/edgeface.conf /etc/tmpfiles.d/edgeface.conf
    run rm -f "$share/bash-completion/completions/edgeface" "$share/zsh/vendor-completions/_edgeface"
    run rm -f "$share/fish/vendor_completions.d/edgeface.fish"
    [ ! -d "$share/man/man1" ] || run find "$share/man/man1" -name 'edgeface*.1.gz' -delete
    if [ -n "$purge" ]; then
        run rm -rf /etc/edgeface /var/lib/edgeface "$units/edgeface.service.d" "$units/edgeface@.service.d"
    fi
    [ -z "$running" ] || run systemctl daemon-reload
    exit
fi

python=$(command -v python3) || fail "there is no python3: apt install python3 python3-venv"
version=$($python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
3.11) runtime=tflite-runtime ;;
3.12 | 3.13) runtime=ai-edge-litert ;;
*) fail "Python $version: edgeface needs 3.11 (bookworm) to 3.13 (trixie)" ;;
esac
machine=$(uname -m)
case $machine in
aarch64 | x86_64) ;;
*) fail "$machine: there are wheels for 64-bit systems only, aarch64 and x86_64" ;;
esac
$python -c 'import ensurepip' 2>/dev/null || fail "Python's venv is missing: apt install python3-venv"
echo "Installing edgeface into $home: Python $version, $runtime, $machine, from $(pwd)"
if ! $python -c 'import picamera2' 2>/dev/null; then
    echo "picamera2 is not there; a camera on the flat cable needs it: apt install python3-picamera2, now or later"
fi

run "$python" -m venv --system-site-packages "$home"
run "$home/bin/pip" install --quiet --no-deps --only-binary :all: --require-hashes --requirement deploy/constraints/device.txt
run "$home/bin/pip" install --quiet --no-deps --no-build-isolation --force-reinstall .
run ln -sf "$home/bin/edgeface" /usr/local/bin/edgeface
run "$home/bin/edgeface" doctor --only runtime,model

run install -D -m 644 systemd/edgeface.sysusers /etc/sysusers.d/edgeface.conf
run systemd-sysusers edgeface.conf
run install -D -m 644 systemd/edgeface.tmpfiles /etc/tmpfiles.d/edgeface.conf
run install -d -m 700 -o edgeface -g edgeface /var/lib/edgeface
run install -d -m 750 -g edgeface /etc/edgeface
if [ -e "$settings" ]; then
    echo "$settings stays as it is"
else
    echo "+ edgeface config default > $settings, with gallery.path = \"/var/lib/edgeface/gallery.db\""
    if [ -z "$dry" ]; then
        "$home/bin/edgeface" config default |
            sed '/^\[gallery\]/,/^\[/s|^#path = ""|path = "/var/lib/edgeface/gallery.db"|' >"$settings.new"
        chown root:edgeface "$settings.new"
        chmod 640 "$settings.new"
        mv "$settings.new" "$settings"
    fi
fi

for unit in edgeface.service edgeface@.service; do
    run install -m 644 "systemd/$unit" "$units/$unit"
    # Before 254, systemd does not know these settings.
    if [ "$(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')" -ge 254 ]; then
        run install -D -m 644 systemd/backoff.conf "$units/$unit.d/backoff.conf"
    fi
done
run "$home/bin/python" deploy/manual.py "$share"
if [ -n "$running" ]; then
    run systemctl daemon-reload
    run systemctl try-restart edgeface.service 'edgeface@*.service'
fi
cat <<END

Next: sudo nano $settings
      sudo systemctl enable --now edgeface
END
