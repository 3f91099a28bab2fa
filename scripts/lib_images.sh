# shellcheck shell=bash disable=SC2154 # lib.sh, which comes first, sets project_dir, dry_run and the like
# From source to an image in Artifact Registry, unchanged: build_images.sh writes an OCI archive and the digest
# of its manifest, skopeo uploads those very bytes, and what the registry has then is hashed and compared.

images_dir=$project_dir/target/images

load_image_config() {
  mutual=${MUTUAL:-0}
  check MUTUAL "$mutual" '^[01]$' '0 or 1'
}

need_image_tools() {
  need_gcloud
  need skopeo 'install skopeo, for example: apt-get install skopeo'
  need sha256sum 'install coreutils'
}

# build_image WORKLOAD [AUDIENCE]: NAME.oci.tar and NAME.digest in $images_dir; sets built_digest.
# Audience and MUTUAL are passed on by name or taken away, so that a variable left over in the shell changes no digest
# unseen.
build_image() {
  local name=${1,,} build=(env --unset=AUDIENCE --unset=MUTUAL)
  if [[ -n ${2:-} ]]; then build+=("AUDIENCE=$2"); fi
  if [[ $mutual == 1 ]]; then build+=(MUTUAL=1); fi
  step "build the image of $name from this source${2:+ (audience $2)}"
  if [[ $mutual == 1 ]]; then say '  MUTUAL=1: both sides prove what they are, so the other image has to be built with it too'; fi
  run "${build[@]}" "$scripts_dir/build_images.sh" "--$name" --output "$images_dir"
  if [[ $dry_run == yes ]]; then
    built_digest="sha256:DIGEST_OF_${1}"
    return
  fi
  if ! [[ -f $images_dir/$name.oci.tar && -f $images_dir/$name.digest ]]; then
    fail "scripts/build_images.sh left no $name.oci.tar and $name.digest in $images_dir" 'see what it printed above'
  fi
  built_digest=$(head -c 300 "$images_dir/$name.digest")
  check_digest "$images_dir/$name.digest" "$built_digest"
  say "  $built_digest"
}

push_work=''
forget_login() { if [[ -n $push_work ]]; then rm -rf "$push_work"; fi; }

# push_image WORKLOAD DIGEST: to Artifact Registry, byte for byte. The access token goes through a pipe into a
# file in a private folder, which is removed at the end.
push_image() {
  local name=${1,,} host target authfile=AUTHFILE token pushed
  host=$(setting "$1" PROJECT_REPOSITORY_REGION)-docker.pkg.dev
  target=docker://$(image_of "$1"):$(setting "$1" WORKLOAD_IMAGE_TAG)
  local login=(skopeo login '--username=oauth2accesstoken' --password-stdin)

  step "log in to $host with a token that lasts an hour at most"
  if [[ $dry_run == no ]]; then
    push_work=$(mktemp -d "${TMPDIR:-/tmp}/usleep-push.XXXXXX")
    at_exit forget_login
    authfile=$push_work/auth.json
  fi
  login+=("--authfile=$authfile" "$host")
  show "gcloud auth print-access-token | $(quoted "${login[@]}")"
  if [[ $dry_run == no ]]; then
    token=$(gcloud auth print-access-token) || failed $?
    # printf is part of the shell: no process has the token among its arguments.
    printf '%s' "$token" | "${login[@]}" >&2 || failed $?
  fi

  step "push $name unchanged"
  run skopeo copy --preserve-digests "--authfile=$authfile" "oci-archive:$images_dir/$name.oci.tar" "$target"

  step 'compare what the registry has with what was built'
  show "$(quoted skopeo inspect --raw "--authfile=$authfile" "$target") | sha256sum"
  if [[ $dry_run == yes ]]; then return; fi
  pushed=$(skopeo inspect --raw "--authfile=$authfile" "$target" | sha256sum) || failed $?
  pushed=sha256:${pushed%% *}
  if [[ $pushed != "$2" ]]; then
    fail "the registry has another manifest: wanted $2, got $pushed" \
      'do not launch it: somebody else pushes to this tag, or the archive and the digest are of two builds'
  fi
  say '  the same digest'
}

ensure_repository() { # ensure_repository WORKLOAD
  local project location repository
  project=$(setting "$1" PROJECT_ID)
  location=$(setting "$1" PROJECT_REPOSITORY_REGION)
  repository=$(setting "$1" ARTIFACT_REPOSITORY)
  step "repository $repository in $project, $location"
  ensure repository "$project" "$location" "$repository" \
    gcloud artifacts repositories create "$repository" "--project=$project" "--location=$location" \
    --repository-format=docker
}

let_account_read() { # let_account_read WORKLOAD: the VM's account may pull from the repository
  local account
  account=$(account_of "$1")
  step "roles/artifactregistry.reader on the repository for $account"
  grant repository-role "$(setting "$1" PROJECT_ID)" \
    "roles/artifactregistry.reader@@$(setting "$1" PROJECT_REPOSITORY_REGION)@@$(setting "$1" ARTIFACT_REPOSITORY)" \
    "serviceAccount:$account"
}
