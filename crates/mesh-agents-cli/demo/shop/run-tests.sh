#!/bin/sh
# The tests of total.sh. A failure names the function's place as FILE:LINE: TEXT.
. ./total.sh
failed=0

check() { # function, arguments, expected
  got=$($1 $2)
  [ "$got" = "$3" ] && { echo "ok   $1 $2"; return; }
  line=$(grep -n "^$1()" total.sh | cut -d: -f1)
  echo "total.sh:$line: error: $1 $2 is $got, expected $3"
  failed=1
}

check discount "2000 10" 1800
check discount "999 0" 999
check shipping "4999" 490
check shipping "5000" 0
check tax "1000 19" 190
check tax "999 19" 190
exit $failed
