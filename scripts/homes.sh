# To be sourced: makes `$homes`, a short directory for temporary homes of nodes, and ends what still runs in them
# when the script ends, however it ends. The programs end what they start; this is for when they are interrupted.
# Every process of a home has the home, and with it this directory, in its environment.
homes=$(mktemp -d /tmp/mh.XXXXXX)
leave_homes() {
  local environ pid found
  # More than one pass: a front-end that is not dead yet starts another engine for the one that is.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    found=0
    for environ in /proc/[0-9]*/environ; do
      if grep -qsF "$homes/" "$environ"; then
        found=1
        pid=${environ#/proc/}
        kill -9 "${pid%/environ}" 2>/dev/null || true
      fi
    done
    [ "$found" = 1 ] || break
    sleep 0.1
  done
  rm -rf "$homes"
}
trap leave_homes EXIT
