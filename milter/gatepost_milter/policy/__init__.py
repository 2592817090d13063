"""Owns judgement: the rules of the policy run over facts and give a Verdict. No I/O, no clock."""
