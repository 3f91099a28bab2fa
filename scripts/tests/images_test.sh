# shellcheck shell=bash disable=SC2154,SC2034 # run.sh sets here, code and the like, and reads settings and tools
# create_usleep_workload.sh, create_uwear_workload.sh, run_unauthorized_usleep.sh: from the build to the registry.

repository_policy=(get-iam-policy p-usleep-artifact-repo --project=p-usleep --location=us)
registry=docker://us-docker.pkg.dev/p-usleep/p-usleep-artifact-repo/workload-container

# The private folder of the login has a new name each time: it is put into the wanted calls.
authfile() { words_of_calls | sed -n 's/^skopeo login .*--authfile=\([^ ]*\) .*/\1/p' | head -1; }

test_usleeps_image_is_built_pushed_unchanged_compared_and_made_readable() {
  succeeds create_usleep_workload.sh
  local digest auth
  digest=$(digest_of usleep uwear)
  auth=$(authfile)
  equal "$digest" "$(cat "$here/out")"
  equal "$digest" "$(cat "$here/project/.usleep/usleep.digest")"
  want gcloud artifacts repositories list --project=p-usleep --location=us '--format=value(name.basename())'
  want gcloud artifacts repositories create p-usleep-artifact-repo --project=p-usleep --location=us --repository-format=docker
  want build_images.sh
  printf '%s\n' AUDIENCE=uwear MUTUAL=unset --usleep --output "$images" >>"$here/want"
  want gcloud auth print-access-token
  want skopeo login --username=oauth2accesstoken --password-stdin "--authfile=$auth" us-docker.pkg.dev
  want skopeo copy --preserve-digests "--authfile=$auth" "oci-archive:$images/usleep.oci.tar" "$registry:latest"
  want skopeo inspect --raw "--authfile=$auth" "$registry:latest"
  want gcloud artifacts repositories "${repository_policy[@]}" "${policy_flags[@]}"
  want gcloud artifacts repositories add-iam-policy-binding p-usleep-artifact-repo --project=p-usleep --location=us \
    --member=serviceAccount:workload-sa@p-usleep.iam.gserviceaccount.com --role=roles/artifactregistry.reader --condition=None
  same_calls
}

test_the_access_token_goes_through_a_pipe_and_is_left_nowhere() {
  succeeds create_usleep_workload.sh
  equal the-access-token "$(cat "$here/stand_in/password")"
  not_called the-access-token
  if grep -rF the-access-token "$here/out" "$here/err" "$here/project"; then die 'the token was written'; fi
  local auth
  auth=$(authfile)
  [[ -n $auth && ! -e ${auth%/*} ]] || die "the folder of the login is still there: $auth"
}

test_an_image_that_arrives_changed_is_not_accepted() {
  # The stand-in's copy stores the archive; this one stores something else.
  # shellcheck disable=SC2016 # the stand-in expands it
  sed -i 's|copy) .*|copy) printf other >"$stored" ;;|' "$here/bin/skopeo"
  ends_with 1 create_usleep_workload.sh
  says 'the registry has another manifest: wanted sha256:'
  equal '' "$(cat "$here/out")"
  [[ ! -e $here/project/.usleep/usleep.digest ]] || die 'the digest was kept'
}

test_a_build_that_leaves_no_digest_is_not_pushed() {
  printf '#!/usr/bin/env bash\nmkdir -p "%s"; echo x >"%s/usleep.oci.tar"; echo latest >"%s/usleep.digest"\n' \
    "$images" "$images" "$images" >"$here/project/scripts/build_images.sh"
  ends_with 2 create_usleep_workload.sh
  says 'wanted sha256: and 64 digits'
  not_called skopeo
}

test_a_push_that_fails_leaves_no_login_behind_and_the_next_run_continues() {
  fails_at 1 'skopeo copy' 'error: connection reset'
  ends_with 1 create_usleep_workload.sh
  says 'this step failed (exit 1): push usleep unchanged'
  local auth
  auth=$(authfile)
  [[ -n $auth && ! -e ${auth%/*} ]] || die 'the folder of the login is still there'
  [[ ! -e $here/project/.usleep/usleep.digest ]] || die 'the digest was kept'
  forget_calls
  succeeds create_usleep_workload.sh
  says 'already there, created by these scripts earlier'
  not_called 'repositories create'
  called 'skopeo copy'
}

test_a_build_that_fails_stops_before_the_registry() {
  touch "$here/stand_in/build_fails"
  ends_with 1 create_usleep_workload.sh
  says 'error: it does not compile'
  says 'this step failed (exit 1): build the image of usleep'
  not_called skopeo
}

test_an_exported_digest_that_will_win_over_the_new_one_is_mentioned() {
  settings+=("USLEEP_IMAGE_DIGEST=$(digest_of usleep somebody)")
  succeeds create_usleep_workload.sh
  says 'unset USLEEP_IMAGE_DIGEST'
}

test_uwears_image_says_what_its_baseline_lacks() {
  succeeds create_usleep_workload.sh
  forget_calls
  settings+=(AUDIENCE=left-over)
  succeeds create_uwear_workload.sh
  equal "$(digest_of uwear uwear)" "$(cat "$here/out")"
  says "policy/baseline.json does not hold $(digest_of usleep uwear)"
  says 'policy/baseline.json does not hold p-usleep'
  says 'policy/baseline.json does not hold workload-sa@p-usleep.iam.gserviceaccount.com'
  says "scripts/pin_digest.sh $(digest_of usleep uwear)"
  called "build_images.sh AUDIENCE=unset MUTUAL=unset --uwear --output $images"
  called 'docker://us-docker.pkg.dev/p-uwear/p-uwear-artifact-repo/workload-container:latest'
  called 'add-iam-policy-binding p-uwear-artifact-repo --project=p-uwear --location=us --member=serviceAccount:workload-sa@p-uwear.iam.gserviceaccount.com'
}

test_uwears_image_with_a_pinned_baseline_has_nothing_to_complain_about() {
  succeeds create_usleep_workload.sh
  printf '{"a": ["%s", "p-usleep", "workload-sa@p-usleep.iam.gserviceaccount.com"]}\n' "$(digest_of usleep uwear)" \
    >"$here/project/policy/baseline.json"
  succeeds create_uwear_workload.sh
  says_not '!!'
}

test_mutual_reaches_the_build_of_both_images_and_nothing_else_does() {
  settings+=(MUTUAL=1)
  succeeds create_usleep_workload.sh
  succeeds create_uwear_workload.sh
  called "build_images.sh AUDIENCE=uwear MUTUAL=1 --usleep --output $images"
  called "build_images.sh AUDIENCE=unset MUTUAL=1 --uwear --output $images"
  says 'the other image has to be built with it too'
  forget_calls
  settings+=(MUTUAL=yes)
  ends_with 2 create_usleep_workload.sh
  says 'MUTUAL: wanted 0 or 1, got yes'
  no_calls
}

# both_run: the approved pair, built and launched.
both_run() {
  local script
  for script in create_usleep_workload.sh create_uwear_workload.sh run_usleep.sh run_uwear.sh; do succeeds "$script"; done
  forget_calls
}

test_the_unauthorized_usleep_replaces_both_vms_and_leaves_the_approved_image_alone() {
  both_run
  succeeds run_unauthorized_usleep.sh
  local other
  other=$(digest_of usleep anotherCompany.com)
  called "build_images.sh AUDIENCE=anotherCompany.com MUTUAL=unset --usleep --output $images/unauthorized"
  called "oci-archive:$images/unauthorized/usleep.oci.tar $registry:unauthorized"
  not_called "$registry:latest"
  called 'compute instances delete usleep --project=p-usleep --zone=us-west1-b --quiet'
  called "workload-container@$other~tee-restart-policy"
  called 'compute instances delete uwear --project=p-uwear --zone=us-west1-b --quiet'
  called "workload-container@$(digest_of uwear uwear)~tee-restart-policy"
  says '[ image_digest_verified ]: false'
  says '[ audience_verified ]: false'
  equal "$(digest_of usleep uwear)" "$(cat "$here/project/.usleep/usleep.digest")"
  equal "$(digest_of usleep uwear)" "$(cat "$images/usleep.digest")"
  equal 'image of usleep for uwear' "$(cat "$images/usleep.oci.tar")"
}

test_the_unauthorized_usleep_fails_half_way_and_continues() {
  both_run
  local step
  for step in 'skopeo copy' 'instances create usleep' 'instances create uwear'; do
    fails_at 1 "$step" 'ERROR: not today'
    ends_with 1 run_unauthorized_usleep.sh
    equal "$(digest_of usleep uwear)" "$(cat "$images/usleep.digest")"
    heal
  done
  forget_calls
  succeeds run_unauthorized_usleep.sh
  called "workload-container@$(digest_of usleep anotherCompany.com)~tee-restart-policy"
  succeeds run_usleep.sh --replace
  called "workload-container@$(digest_of usleep uwear)~tee-restart-policy"
}

test_a_build_that_ignores_the_audience_is_noticed() {
  both_run
  # The stand-in's build without its AUDIENCE.
  sed -i 's/for %s/for uwear%.0s/' "$here/project/scripts/build_images.sh"
  ends_with 1 run_unauthorized_usleep.sh
  says 'the audience did not reach the build'
  not_called 'instances delete'
}

test_the_unauthorized_usleep_needs_an_approved_one() {
  ends_with 2 run_unauthorized_usleep.sh
  says 'run the approved one first'
  no_calls
}
