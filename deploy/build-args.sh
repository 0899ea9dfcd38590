# To be sourced in the checkout before images are built: what their labels say, and the bases that images.env pins.
if git rev-parse --git-dir >/dev/null 2>&1; then
    REVISION=${REVISION:-$(git describe --always --dirty --abbrev=40 --exclude='*')}
    CREATED=${CREATED:-$(git show --no-patch --format=%cI HEAD)}
    SOURCE=${SOURCE:-$(git config --get remote.origin.url | sed 's#//[^/@]*@#//#')}  # without a password
    export REVISION CREATED SOURCE
fi
if [ -f images.env ]; then
    set -a
    . ./images.env
    set +a
fi
