$ duolog kv put config a. 1
error: invalid value 'a.' for '<KEY>': `a.` is no key: letters, digits, - _ = / and . between other letters

For more information, try '--help'.
(exit 64)
