# What an order costs, in cents.

discount() { # price, percent
  echo $(($1 - $1 * $2 / 100))
}

shipping() { # price: free from 50.00 on
  if [ "$1" -gt 5000 ]; then echo 0; else echo 490; fi
}

tax() { # price, percent: rounded half up
  echo $(($1 * $2 / 100))
}
