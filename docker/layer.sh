# shellcheck shell=bash
# What the scripts share that put packages on the sandbox image: they source this file and set `what` and `image`.

log=""
work=""
base=""
# Of the base image (Debian bookworm), whatever this machine runs.
readonly python_version=3.11

say() { printf '%s image: %s\n' "$what" "$*"; }
impossible() { say "NO ${what^^} IMAGE: $*"; exit 3; }
broke() {
    if [ -s "$log" ]; then tail -n 30 "$log"; fi
    say "$* (the end of the log is above)"
    exit 1
}
usage() { printf 'docker/%s/build: %s; run with --help\n' "$what" "$*" >&2; exit 2; }
clean_up() {
    if [ -z "$work" ]; then return; fi
    # The wheels are in this one, which the daemon would keep.
    docker rmi "$image-packages" >/dev/null 2>&1 || true
    rm -rf --one-file-system "$work"
}

# The help is the comment at the head of the script.
read_arguments() {
    while [ $# -gt 0 ]; do
        case "$1" in
        -h | --help) awk 'NR > 1 && !/^#/ { exit } NR > 1' "$0" | cut -c3-; exit 0 ;;
        --base | --image) [ $# -ge 2 ] || usage "$1 needs a value" ;;
        *) usage "unknown argument $1" ;;
        esac
        case "$1" in
        --base) base=$2 ;;
        --image) image=$2 ;;
        esac
        shift 2
    done
}

find_base() {
    command -v docker >/dev/null || impossible "there is no docker command; scripts/setup-docker sets one up where it can"
    timeout 20 docker version >/dev/null 2>&1 || impossible "no Docker daemon answers; scripts/setup-docker starts one where it can"
    if [ -z "$base" ]; then
        base="orkestra-sandbox:latest"
        "$here/../sandbox/build"
    fi
    docker image inspect "$base" >/dev/null 2>&1 || impossible "there is no image $base; docker/sandbox/build makes one"
}

# A hash of everything that goes in. The sandbox image carries its own recipe; another base is known by its id.
recipe() {
    local below
    below="$(docker image inspect --format '{{index .Config.Labels "orkestra.sandbox.recipe"}}' "$base")"
    if [ -z "$below" ]; then below="$(docker image inspect --format '{{.Id}}' "$base")"; fi
    { cat "$here/../layer.sh" "$here"/*; printf '%s' "$below"; } | sha256sum | cut -c1-16
}
current() { [ "$(docker image inspect --format "{{index .Config.Labels \"orkestra.$what.recipe\"}}" "$image" 2>/dev/null)" = "$1" ]; }

# Sets `machine` and `cpu` to what Python and Node call the architecture of the base image.
read_architecture() {
    local architecture
    architecture="$(docker image inspect --format '{{.Architecture}}' "$base")"
    case "$architecture" in
    amd64) machine=x86_64 cpu=x64 ;;
    arm64) machine=aarch64 cpu=arm64 ;;
    *) impossible "no packages are known for the architecture $architecture of $base" ;;
    esac
}

begin() {
    python3 -m pip --version >/dev/null 2>&1 || impossible "python3 on this machine has no pip, which downloads the packages"
    # Not /tmp, which may be held in memory.
    work="$(mktemp -d "${TMPDIR:-/var/tmp}/orkestra-$what.XXXXXX")"
    trap clean_up EXIT
    log="$work/log"
    mkdir "$work/context"
    read_architecture
}

# Through this machine's pip, because only that knows where this machine gets its packages: wheels for the image's Python and C
# library.
download_wheels() {
    local platform platforms=()
    for platform in manylinux_2_28 manylinux_2_17 manylinux2014; do platforms+=(--platform "${platform}_$machine"); done
    python3 -m pip download --quiet --no-deps --only-binary :all: --implementation cp --python-version "$python_version" \
        "${platforms[@]}" --dest "$work/context/wheels" --requirement "$here/requirements.txt" </dev/null >"$work/pip.log" 2>&1
}

# The first stage is built by itself under a name, so that it can be removed; the second call finds it in the builder's cache.
build_image() {
    local recipe=$1 arguments
    cp "$here/Dockerfile" "$here/requirements.txt" "$work/context/"
    chmod -R go+rX "$work"
    say "building from $base, without network"
    arguments=(--network none --build-arg "BASE=$base" --label "orkestra.$what.recipe=$recipe")
    docker build "${arguments[@]}" --target packages --tag "$image-packages" "$work/context" </dev/null >"$log" 2>&1 &&
        docker build "${arguments[@]}" --tag "$image" "$work/context" </dev/null >"$log" 2>&1 ||
        broke "docker build failed"
}

# Runs a script in the new image as the user that it runs as, on a read-only root, with no network. Nothing in the image says
# where the packages came from.
try_image() {
    local nowhere='! find / -xdev \( -name .package-lock.json -o -name direct_url.json \) 2>/dev/null | grep .'
    docker run --rm --network none --read-only --tmpfs /tmp "$image" sh -ec "$1"$'\n'"$nowhere" >"$log" 2>&1 || {
        docker rmi --force "$image" >/dev/null 2>&1 || true # a bad image must not pass for the current one
        broke "the new image does not do its work"
    }
    say "holds $(tr '\n' ' ' <"$log")"
}

# Everything in order; the script that sources this has `download` and `verify`.
main() {
    local made_from bytes started=$SECONDS
    read_arguments "$@"
    find_base
    made_from="$(recipe)"
    if current "$made_from"; then
        say "$image is there already (recipe $made_from)"
        return
    fi
    begin
    say "downloading packages"
    download
    build_image "$made_from"
    verify
    bytes="$(docker image inspect --format '{{.Size}}' "$image")"
    say "built $image (recipe $made_from) in $((SECONDS - started)) s, $((bytes / 1000000)) MB"
}
