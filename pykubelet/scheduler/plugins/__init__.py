"""The rules: one small file each, named as upstream names them. `registry` lists them."""
