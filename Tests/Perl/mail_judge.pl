# Reads mails with Perl's Email::MIME and tells what it saw: as Tests/Python/mail_judge.py does.
use strict;
use warnings;
use Email::MIME;
use JSON::PP;
use MIME::Base64;

my $json = JSON::PP->new->utf8;

sub lines {
    my $data = shift;
    $data =~ s/\r\n/\n/g;
    return encode_base64($data, '');
}

sub walk {
    my ($part, $seen, @path) = @_;
    my ($type) = map { lc } $part->content_type =~ m{^([^;\s]+)};
    push @path, $type;
    if ($type =~ m{^multipart/}) {
        walk($_, $seen, @path) for $part->subparts;
        return;
    }
    push @{ $seen->{paths} }, join('>', @path);
    my $disposition = $part->header('Content-Disposition');
    if (!defined $disposition) {
        push @{ $seen->{ $type eq 'text/plain' ? 'texts' : 'htmls' } }, lines($part->body);
    } else {
        my ($kind) = $disposition =~ /^(\w+)/;
        push @{ $seen->{files} },
            { name => scalar $part->filename, id => scalar $part->header('Content-ID'), kind => $kind, data => encode_base64($part->body, '') };
    }
}

# Which fields stand where, and the values of those that a sender fills.
sub headers {
    my $mail = shift;
    my $names = sub { my @pairs = shift->header_obj->header_raw_pairs; [ @pairs[ grep { $_ % 2 == 0 } 0 .. $#pairs ] ] };
    my @parts = $mail->subparts;
    my @files = @parts[ 1 .. $#parts ];
    return {
        names => $names->($mail), parts => [ map { $names->($_) } @parts ], subject => $mail->header_str('Subject'),
        custom => $mail->header_str('X-Custom'), others => {
            map { $_ => scalar $mail->header_str($_) }
            grep { /^(?:References|In-Reply-To|List-Unsubscribe|List-Id|X-(?!Custom$).*)$/ } @{ $names->($mail) } },
        filenames => [ map { scalar $_->filename } @files ],
        ids => [ map { scalar $_->header('Content-ID') } @files ], defects => [],
        recipients => [ map { $_->address } map { $_->addresses } grep { defined } map { $mail->header_as_obj($_) } qw(To Cc Bcc Reply-To) ],
    };
}

open my $file, '<:raw', $ARGV[0] or die;
while (read $file, my $length, 4) {
    read $file, my $raw, unpack('N', $length);
    my $mail = Email::MIME->new($raw);
    if (($ARGV[1] // '') eq 'headers') {
        print $json->encode(headers($mail)), "\n";
        next;
    }
    my %seen = (subject => $mail->header_str('Subject'), texts => [], htmls => [], files => [], paths => [], defects => [],
        addresses => {}, fields => {});
    for my $name (qw(From To Cc Bcc)) {
        next unless defined $mail->header($name);
        my @found = $mail->header_as_obj($name);
        my @addresses = map { [$_->phrase // '', $_->address] } map { $_->addresses } grep { defined } @found;
        $seen{addresses}{$name} = \@addresses if @addresses;
    }
    for my $name (qw(Message-ID Date List-Unsubscribe X-Note)) {
        my $value = scalar $mail->header_str($name);
        $seen{fields}{$name} = $value if defined $value;
    }
    walk($mail, \%seen);
    print $json->encode(\%seen), "\n";
}
