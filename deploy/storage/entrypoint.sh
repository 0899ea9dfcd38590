#!/bin/sh
# Starts SeaweedFS, with options in addition to those below. The entry of the storage's image; `make run` and the tests use
# it, too. It has two users: the api's key, which may do what policy.json says, and the admin's, which makes the buckets.
set -eu
HERE=$(dirname "$(readlink -f "$0")")
SCRIPTS=${SECRETS:-$HERE} # where secrets.sh is, which looks there for what it needs
. "$SCRIPTS/secrets.sh"
CONFIG=${STORAGE_CONFIG:-/tmp/s3.json}

refuse() {
    refused="$refused$1
"
}

refused=
for name in S3_SECRET_ACCESS_KEY S3_ADMIN_SECRET_ACCESS_KEY; do
    read_secret "$name"
    secret=$(eval "printf %s \"\${$name:-}\"")
    case $secret in
    '') refuse "$name is not set" ;;
    *[!A-Za-z0-9+/=._-]*) refuse "$name has other characters than letters, digits and + / = . _ -" ;; # some of them fail
    *)
        [ "${ENVIRONMENT:-local}" = production ] || continue
        reason=$(printf %s "$secret" | weakness)
        [ -z "$reason" ] || refuse "$name $reason"
        ;;
    esac
done
for name in S3_ACCESS_KEY_ID S3_ADMIN_ACCESS_KEY_ID S3_BUCKET S3_PUBLIC_BUCKET; do
    value=$(eval "printf %s \"\${$name:-}\"")
    case $value in '' | *[!A-Za-z0-9_-]*) refuse "$name has to be letters, digits, _ and -" ;; esac
done
if [ -n "$refused" ]; then
    printf %s "$refused" >&2
    echo "Before running in production, set them; openssl rand -base64 32 makes one" >&2
    exit 3
fi

# As a JSON string, with the buckets' names.
policy=$(sed "s/S3_BUCKET/$S3_BUCKET/; s/S3_PUBLIC_BUCKET/$S3_PUBLIC_BUCKET/; s/\"/\\\\&/g" "$HERE/policy.json" | tr -d '\n')
umask 077
rm -f "$CONFIG"
cat >"$CONFIG" <<EOF
{
  "identities": [
    {
      "name": "api",
      "credentials": [{"accessKey": "$S3_ACCESS_KEY_ID", "secretKey": "$S3_SECRET_ACCESS_KEY"}],
      "policyNames": ["api"]
    },
    {
      "name": "admin",
      "credentials": [{"accessKey": "$S3_ADMIN_ACCESS_KEY_ID", "secretKey": "$S3_ADMIN_SECRET_ACCESS_KEY"}],
      "actions": ["Admin"]
    }
  ],
  "policies": [{"name": "api", "content": "$policy"}]
}
EOF
unset S3_SECRET_ACCESS_KEY S3_ADMIN_SECRET_ACCESS_KEY

# By default a bucket takes seven of the eight volumes that there may be, and the second bucket gets none.
export WEED_MASTER_VOLUME_GROWTH_COPY_1=1
# Only S3's own port asks who is there, so the others are open here only; but for s3.port.grpc, which follows s3.ip.bind.
exec weed -logtostderr server \
    -master.telemetry=false -master.volumeSizeLimitMB=256 -volume.max=0 -volume.preStopSeconds=0 \
    -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer -s3 -s3.config="$CONFIG" -s3.port.iceberg=0 -s3.port.lance=0 "$@"
